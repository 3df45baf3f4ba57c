"""environment.yml and pyproject.toml list the same dependencies, through one map of names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

# conda-forge name -> PyPI name, where they differ.
CONDA_NAMES = {"python-lmdb": "lmdb", "python-duckdb": "duckdb", "matplotlib-base": "matplotlib"}


def _requirement(line: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?\s*(\S*)", line)
    assert match, line
    return match[1].lower().replace("_", "-"), match[2]


def _pyproject() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        lines += extra
    for group in project["dependency-groups"].values():
        lines += group
    return dict(_requirement(line) for line in lines) | {"python": project["project"]["requires-python"]}


def _environment() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (ROOT / "environment.yml").read_text().splitlines():
        entry = re.match(r"\s+- ([a-z][^:]*?)\s*(#.*)?$", line)
        if entry and entry[1] not in ("conda-forge", "nodefaults", "pip"):
            name, bounds = _requirement(entry[1])
            found[CONDA_NAMES.get(name, name)] = bounds
    return found


def test_both_files_list_the_same_dependencies() -> None:
    assert _environment() == _pyproject()


def test_packages_the_users_named_are_there() -> None:
    named = {
        "pyvo", "astropy", "astroquery", "ipywidgets", "jupyterlab", "pyarrow", "tornado", "dask", "distributed",
        "uws-client",
    }  # fmt: skip
    assert named <= _environment().keys()
