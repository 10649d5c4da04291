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
    {
        "engine",
        "config",
        "documents",
        "timebase",
        "errors",
        "extensions",
        "guard",
        "markup",
        "model_files",
        "packaged",
        "spelling",
        "version",
    },
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
    ground = {
        "errors",
        "config",
        "documents",
        "timebase",
        "engine",
        "extensions",
        "guard",
        "markup",
        "model_files",
        "packaged",
        "spelling",
        "version",
    }
    broken = [line for line in broken if not (line.split()[-1] in ground and line.split()[-3] in ground)]
    assert seen > 10
    assert not broken, "\n".join(broken)


def files_imported(path, package, files, front_door):
    """The files that a file imports anywhere, for type checkers too; of a lazy front door only what it imports itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if front_door else ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "analysis":
            # a name that is no file of the package is defined by the module itself
            names = [f"{node.module}.{one.name}" if f"{node.module}.{one.name}" in files else node.module for one in node.names]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        yield from (name for name in names if name in files and name != package)


def circles(graph):
    """Every set of files that import each other, directly or over others (Tarjan's algorithm)."""
    number, low, stack, found = {}, {}, [], []

    def visit(name):
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            members = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(members) > 1:
                found.append(sorted(members))

    for name in graph:
        if name not in number:
            visit(name)
    return found


def test_no_two_files_import_each_other(repository):
    files = {}
    for path in sorted((repository / "analysis").rglob("*.py")):
        parts = path.relative_to(repository).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {name: set(files_imported(path, name, files, path.name == "__init__.py")) for name, path in files.items()}
    assert len(graph) > 200 and sum(map(len, graph.values())) > 800
    assert circles(graph) == []


def test_no_file_imports_the_front_door_of_its_own_room(repository):
    own = []
    for path in sorted((repository / "analysis").rglob("*.py")):
        package = ".".join(path.relative_to(repository).parent.parts)
        if path.name in ("__init__.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == package:
                files = {one.stem for one in path.parent.glob("*.py")} | {
                    one.name for one in path.parent.iterdir() if one.is_dir()
                }
                own += [f"{path}:{node.lineno}: {one.name}" for one in node.names if one.name not in files]
    assert not own, "\n".join(own)


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


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
    assert {line.split()[2].removeprefix("analysis.") for line in done.stdout.splitlines()[2:-2]} == commands
    asked = subprocess.run([sys.executable, "-m", "analysis", "pairs"], cwd=repository, capture_output=True, text=True)
    assert asked.returncode == 2 and "analysis.phonology" in asked.stderr
    assert asked.stderr.startswith("error: there is no command 'pairs'.")
