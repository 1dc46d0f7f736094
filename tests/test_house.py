"""The house holds its shape: imports run one way, without circles, and files and functions stay short."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
OUTSIDE = ("models", "baselines")  # next to simulator/ in the checkout, parts of it for Python
FILE_LINES, FUNCTION_LINES = 300, 60  # of product code: the engine, `OUTSIDE` and the website's code, without tests


def _modules() -> dict[str, Path]:
    """Every product module by its dotted name below `simulator`."""
    found = {}
    for folder in ("simulator", *OUTSIDE):
        for path in (CHECKOUT / folder).rglob("*.py"):  # does not follow the links in simulator/
            parts = path.relative_to(CHECKOUT).with_suffix("").parts[folder == "simulator" :]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = _modules()
PRODUCT = sorted([*MODULES.values(), *(CHECKOUT / "docs" / "site").glob("*.py")])


def _imports(name: str) -> set[str]:
    """Modules of ours that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name.removeprefix("simulator.") for one in node.names if one.name.startswith("simulator.")}
        elif isinstance(node, ast.ImportFrom):
            package = _package(node, name)
            if package is not None:
                names = {f"{package}.{one.name}".removeprefix(".") for one in node.names}
                found |= {one if one in MODULES else package for one in names}
    return (found & MODULES.keys()) - {name}


def _package(node: ast.ImportFrom, name: str) -> str | None:
    """Where `from ... import` looks, below `simulator`; None outside of it."""
    if not node.level:
        module = node.module or ""
        return module.removeprefix("simulator").removeprefix(".") if module.split(".")[0] == "simulator" else None
    parts = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _folder(name: str) -> str:
    """What the list of docs/architecture.md calls the place of a module."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if first in OUTSIDE and rest else first


def _floors() -> dict[str, int]:
    """The line of every folder in the list of docs/architecture.md."""
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"### One way.*?```text\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = block.group(1).splitlines()
    return {folder: floor for floor, line in enumerate(lines) for folder in line.split()}


FLOORS = _floors()
GROUND = {"", "__init__", "__main__", "models", "baselines"}  # packages without content, and the way in


def test_the_list_names_every_folder() -> None:
    assert {_folder(name) for name in MODULES} - GROUND == set(FLOORS)


@pytest.mark.parametrize("name", sorted(set(MODULES) - GROUND))
def test_imports_run_one_way(name: str) -> None:
    mine = _folder(name)
    others = {one for one in _imports(name) if _folder(one) != mine and one not in GROUND}
    wrong = {one for one in others if FLOORS[_folder(one)] >= FLOORS[mine]}
    assert not wrong


def test_there_are_no_circles() -> None:
    TopologicalSorter({name: _imports(name) for name in MODULES}).prepare()  # raises CycleError


def test_relative_and_absolute_imports_are_read() -> None:
    assert "link.ledger" in _imports("link.trip")
    assert "models.lrisc.config" in _imports("models.lrisc.scheme")


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    functions = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name: one.end_lineno - one.lineno + 1 for one in functions if one.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}
    assert len(text.splitlines()) <= FILE_LINES
