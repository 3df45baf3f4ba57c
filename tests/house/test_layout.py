"""The house: one namespace over many source roots, one room each."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "lake": "lake", "sodacut": "sodacut", "tap": "tap", "uws": "uws", "transfer": "transfer", "server": "server",
    "jupyter_ext": "jupyter", "benchmarks": "benchmarks",
}  # fmt: skip
MODULES = sorted(path for folder in ROOMS for path in (ROOT / folder / "sodalake").rglob("*.py"))


@pytest.mark.parametrize(("folder", "package"), ROOMS.items())
def test_each_room_is_one_package_of_the_namespace(folder: str, package: str) -> None:
    assert (ROOT / folder / "sodalake" / package / "__init__.py").is_file()
    # PEP 420: an __init__.py here would hide every other room.
    assert not (ROOT / folder / "sodalake" / "__init__.py").exists()
    assert [
        p.name for p in (ROOT / folder / "sodalake").iterdir() if p.is_dir() and p.name != "__pycache__"
    ] == [package]


def test_the_wheel_holds_every_room() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert set(build["dev-mode-dirs"]) == set(build["targets"]["wheel"]["sources"]) == set(ROOMS)
    assert set(build["targets"]["wheel"]["only-include"]) == {f"{folder}/sodalake" for folder in ROOMS}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text())), "a module opens with a docstring"
    assert module.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


CIRCULAR = {"PIL", "astropy", "cdshealpix", "matplotlib", "mocpy", "reproject", "scipy"}


def _imports(tree: ast.AST) -> set[tuple[str, int]]:
    """Return top-level names that are imported below a node, and where."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(one.name.partition(".")[0], node.lineno) for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(("" if node.level else str(node.module).partition(".")[0], node.lineno))
    return found


@pytest.mark.parametrize(
    "module",
    [one for one in MODULES if "benchmarks" not in one.parts],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_libraries_that_import_themselves_in_circles_are_imported_by_one_thread(module: Path) -> None:
    tree = ast.parse(module.read_text())
    locked, for_types = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and ast.unparse(node.items[0]) == "IMPORTS":
            locked |= _imports(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types |= _imports(node)
    bare = {(name, line) for name, line in _imports(tree) - locked - for_types if name in CIRCULAR}
    assert not bare, "write `with IMPORTS:` (sodalake.lake.importing)"
    ours = {(name, line) for name, line in locked if name in ("", "sodalake")}
    assert not ours, "another thread may hold one of our modules, and wait for the lock"
