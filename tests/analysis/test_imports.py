"""What tables and figures need: rows alone, and no network library."""

import subprocess
import sys
from dataclasses import fields

from simulator.link import SymbolLedger
from simulator.results.rows import COLUMNS, LEDGER_ITEMS


def test_rows_are_read_and_drawn_without_torch() -> None:
    modules = (
        "simulator.results.store, simulator.analysis.outputs, simulator.analysis.tables, simulator.analysis.figure"
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_rows_have_every_item_of_the_bill() -> None:
    assert tuple(item.name for item in fields(SymbolLedger)) == LEDGER_ITEMS
    assert set(LEDGER_ITEMS) <= set(COLUMNS)
