"""docs/reliability.md says what was tried: every row names a test that is there, and every fault test has a row."""

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE))


def names_in(path: Path) -> set[str]:
    """Names of the test functions of a file."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_row_of_the_table_names_a_test():
    rows = [line for line in PAGE.split("## What was tried")[1].split("## ")[0].splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| fault")]
    assert len(rows) > 15
    assert all("`tests/" in row for row in rows)


def test_every_test_that_is_named_exists():
    for file, name in NAMED:
        assert name in names_in(CHECKOUT / file), f"{file}::{name}"


def test_every_fault_test_is_in_the_table():
    for path in Path(__file__).parent.glob("test_*.py"):
        if path.name != Path(__file__).name:
            file = path.relative_to(CHECKOUT).as_posix()
            assert {(file, name) for name in names_in(path) if name.startswith("test_")} <= NAMED
