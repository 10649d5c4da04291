"""One list of dependencies: pyproject.toml; environment.yml and constraints.txt must not drift from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

# What conda-forge calls by another name.
CONDA_NAMES = {
    "docstring_parser": "docstring-parser",
    "matplotlib-base": "matplotlib",
    "pysoundfile": "soundfile",
    "pytorch": "torch",
    "soxr-python": "soxr",
}
ONLY_CONDA = {"python", "montreal-forced-aligner", "pip"}


def project_requirements(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, project["dependencies"])}


def test_environment_yml_lists_what_pyproject_lists(repository):
    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    found = {}
    for entry in environment["dependencies"]:
        if isinstance(entry, dict):
            for line in entry["pip"]:
                if not line.startswith("--"):
                    requirement = Requirement(line)
                    found[requirement.name] = requirement.specifier
            continue
        name, specifier = re.fullmatch(r"([A-Za-z0-9_-]+)(.*)", entry).groups()
        if name not in ONLY_CONDA:
            found[CONDA_NAMES.get(name, name)] = SpecifierSet(specifier)
    assert found == project_requirements(repository)


def test_conda_hands_pip_lines_that_pip_takes(repository, tmp_path):
    """conda writes the pip part into a requirements file, which is read with fewer options than pip's command line has."""
    from pip._internal.req.req_file import parse_requirements

    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    lines = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    file = tmp_path / "condaenv.requirements.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    found = list(parse_requirements(str(file), session=None))
    assert [one.requirement for one in found if one.is_editable] == ["."] and len(found) == len(lines)


def test_every_dependency_is_pinned_within_its_bounds(repository):
    pins = {}
    for line in (repository / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            pins[requirement.name.lower().replace("_", "-")] = next(iter(requirement.specifier)).version
    for name, specifier in project_requirements(repository).items():
        assert name.lower() in pins, f"{name} is not pinned in constraints.txt"
        assert pins[name.lower()] in specifier, f"{name}: the pin {pins[name.lower()]} is outside {specifier}"


def test_nothing_under_the_gpl_is_needed_at_run_time(repository):
    """Walks the installed dependencies of the project, extras left out. LGPL libraries (soxr) are linked, not included."""
    from importlib.metadata import PackageNotFoundError, distribution

    pending, seen, bad = list(project_requirements(repository)), set(), []
    while pending:
        name = pending.pop().lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        licence = " ".join(
            # the first line names the licence; whole texts also speak of the compiler's own exceptions
            [(found.metadata.get("License-Expression") or found.metadata.get("License") or "\n").splitlines()[0]]
            + [line for line in found.metadata.get_all("Classifier") or [] if line.startswith("License")]
        )
        if re.search(r"(?<!L)(?<!A)GPL|GNU General Public", licence.replace("Lesser General", "")):
            bad.append((name, licence))
        for line in found.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
    assert len(seen) > 40
    assert not bad


def test_every_package_of_the_checkout_is_installed(repository):
    setuptools = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent for path in (repository / "analysis").rglob("*.py")}
    found = {".".join(folder.relative_to(repository).parts) for folder in folders}
    assert set(setuptools["packages"]) == found | {"analysis.lexicons"}


def actionlint(folder):
    """What actionlint finds in a repository's workflows and in the actions that they use."""
    program = shutil.which("actionlint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("there is no actionlint on the PATH; `pip install -e '.[actionlint]'` or your system's package brings one")
    done = subprocess.run([program, "-no-color", "-shellcheck=", "-pyflakes="], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_workflow_passes_actionlint(repository, tmp_path):
    (tmp_path / ".git").mkdir()
    shutil.copytree(repository / ".github", tmp_path / ".github")
    assert actionlint(tmp_path) == (0, "")
    matrix = yaml.safe_load((repository / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]["strategy"]
    assert matrix["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_the_action_passes_actionlint_where_a_workflow_uses_it(repository, tmp_path):
    (tmp_path / ".git").mkdir()
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    shutil.copy(repository / "action.yml", tmp_path)
    steps = "on: push\njobs:\n  gate:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: ./\n        with:\n"
    (workflows / "w.yml").write_text(f"{steps}          baseline: b.json\n          encoder: mfcc\n", encoding="utf-8")
    assert actionlint(tmp_path) == (0, "")
    (workflows / "w.yml").write_text(f"{steps}          encoder: mfcc\n", encoding="utf-8")
    code, found = actionlint(tmp_path)
    assert code == 1 and 'missing input "baseline"' in found


def test_the_action_is_not_content_with_another_package_called_analysis(repository, tmp_path):
    steps = yaml.safe_load((repository / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").touch()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$2" = pip ] && echo installs && exit 0\nexec {sys.executable} -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    for package, printed in ((tmp_path, "installs\n"), (repository, "")):
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(package), "ACTION": "x"}
        done = subprocess.run(["bash", "-c", steps[0]["run"]], env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, printed)
        (tmp_path / "analysis" / "__init__.py").unlink(missing_ok=True)
        (tmp_path / "analysis").rmdir() if (tmp_path / "analysis").is_dir() else None


def test_there_is_one_version(repository):
    import analysis

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "analysis.version.__version__"}}
    assert yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))["version"] == analysis.__version__


def test_the_package_says_that_it_is_typed(repository):
    data = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    assert (repository / "analysis" / "py.typed").is_file() and "py.typed" in data["analysis"]
