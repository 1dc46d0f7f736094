"""NR LDPC base graphs and lifting sizes (3GPP TS 38.212, clause 5.3.2).

The shift tables 5.3.2-2 (base graph 1) and 5.3.2-3 (base graph 2) are the CSV files that ship inside the
installed ``sionna`` package (``sionna/phy/fec/ldpc/codes/5G_bg{1,2}.csv``). They are read from there without
importing Sionna, which would take seconds and reseed torch's global generator.
"""

import csv
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from simulator.errors import UserError

# Table 5.3.2-1: the position of a set is the set index i_LS.
LIFTING_SETS = (
    (2, 4, 8, 16, 32, 64, 128, 256),
    (3, 6, 12, 24, 48, 96, 192, 384),
    (5, 10, 20, 40, 80, 160, 320),
    (7, 14, 28, 56, 112, 224),
    (9, 18, 36, 72, 144, 288),
    (11, 22, 44, 88, 176, 352),
    (13, 26, 52, 104, 208),
    (15, 30, 60, 120, 240),
)
INFO_COLUMNS = {1: 22, 2: 10}
ROWS = {1: 46, 2: 42}
MAX_BLOCK_BITS = {1: 8448, 2: 3840}
CORE_ROWS = 4


def lifting_size(info_bits: int, base_graph: int) -> tuple[int, int]:
    """Smallest lifting size that holds a code block (TS 38.212, 5.2.2).

    ``info_bits`` is K', the code block with its CRC. Returns ``(Z_c, i_LS)``.
    Raises ``ValueError`` if no lifting size is large enough.
    """
    columns = INFO_COLUMNS[base_graph]
    if base_graph == 2 and info_bits <= 640:
        columns = 9 if info_bits > 560 else 8 if info_bits > 192 else 6
    fitting = [
        (size, index) for index, sizes in enumerate(LIFTING_SETS) for size in sizes if columns * size >= info_bits
    ]
    if not fitting or info_bits > MAX_BLOCK_BITS[base_graph]:
        raise ValueError(f"a code block of {info_bits} bits does not fit base graph {base_graph}")
    return min(fitting)


@cache
def shift_table(base_graph: int, set_index: int) -> np.ndarray:
    """Cyclic shifts V_ij of a base graph before reduction modulo Z_c; -1 marks the zero matrix.

    Returns int16 ``[rows, columns]``: ``[46, 68]`` for base graph 1, ``[42, 52]`` for base graph 2.
    """
    rows = ROWS[base_graph]
    table = np.full((rows, INFO_COLUMNS[base_graph] + rows), -1, dtype=np.int16)
    row = 0
    with _table_path(base_graph).open(newline="") as lines:
        for record in list(csv.reader(lines, delimiter=";"))[2:]:
            row = int(record[0]) if record[0].strip() else row
            table[row, int(record[1])] = int(record[2 + set_index])
    table.setflags(write=False)
    return table


def _table_path(base_graph: int) -> Path:
    spec = find_spec("sionna")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "phy", "fec", "ldpc", "codes", f"5G_bg{base_graph}.csv")
        if path.is_file():
            return path
    raise UserError("the LDPC base graphs of Sionna 2.2 were not found: run `pip install sionna-no-rt==2.2.0`")
