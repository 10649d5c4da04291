"""Imports go down the list of rooms, never up; importing the package loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys

# From the roof to the ground. Rooms of one rank do not know each other.
RANKS = [
    {"decouple", "__main__"},
    {"pipeline"},
    {"pytest_plugin"},
    {"regression"},
    {"report"},
    {"settings"},
    {"separation", "projection"},
    {"embeddings"},
    {"wav2sem"},
    {"encoders", "phonology"},
    {"alignment"},
    {"corpus"},
    {"console"},
    {"engine", "config", "documents", "timebase", "errors", "extensions", "guard", "markup", "model_files", "packaged", "spelling"},
]
# The animation side reads what lies below it and is read by nobody but the pipeline's users.
FACE = "face"
HEAVY = {"torch", "transformers", "umap", "ray", "sklearn", "matplotlib", "plotly", "numba", "accelerate"}


def rank(room):
    if room == FACE:
        return 3.5
    return next((i for i, rooms in enumerate(RANKS) if room in rooms), None)


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("analysis."):
            yield node.lineno, node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "analysis":
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("analysis."):
                    yield node.lineno, alias.name.split(".")[1]


def test_imports_go_down(repository):
    broken, seen = [], 0
    for path in sorted((repository / "analysis").rglob("*.py")):
        parts = path.relative_to(repository / "analysis").with_suffix("").parts
        room = parts[0]
        # a room's own command line sits above everything: it opens corpora and aligners like decouple does
        if room == "__init__" or parts[-1] == "__main__":
            continue
        for line, imported in imports_of(path):
            if imported == room:
                continue
            seen += 1
            if rank(room) is None or rank(imported) is None or rank(imported) <= rank(room):
                broken.append(f"{path.relative_to(repository)}:{line}: {room} imports {imported}")
    ground = {"errors", "config", "documents", "timebase", "engine", "extensions", "guard", "markup", "model_files", "packaged", "spelling"}
    broken = [line for line in broken if not (line.split()[-1] in ground and line.split()[-3] in ground)]
    assert seen > 10
    assert not broken, "\n".join(broken)


def test_importing_the_package_loads_nothing_heavy():
    rooms = ["corpus", "alignment", "phonology", "encoders", "wav2sem", "embeddings", "separation", "report", "face"]
    code = "import sys, analysis\n" + "\n".join(f"import analysis.{room}" for room in rooms)
    code += f"\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_loads():
    import analysis

    for name in analysis.__all__:
        assert getattr(analysis, name) is not None


def test_type_checkers_see_the_public_names(repository):
    import analysis

    text = (repository / "analysis" / "__init__.py").read_text(encoding="utf-8")
    checked = next(
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    )
    seen = {alias.name: node.module for node in checked.body for alias in node.names}
    assert seen == analysis._PUBLIC


def test_every_command_is_listed(repository):
    commands = {path.parent.name for path in (repository / "analysis").glob("*/__main__.py")} | {"decouple"}
    done = subprocess.run([sys.executable, "-m", "analysis"], cwd=repository, capture_output=True, text=True, check=True)
    assert {line.split()[2].removeprefix("analysis.") for line in done.stdout.splitlines()[2:]} == commands
    asked = subprocess.run([sys.executable, "-m", "analysis", "pairs"], cwd=repository, capture_output=True, text=True)
    assert asked.returncode == 2 and "analysis.phonology" in asked.stderr
