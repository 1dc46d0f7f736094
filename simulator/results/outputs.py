"""Outputs that a caller adds to a sweep. The sweep itself writes rows, pictures and provenance only."""

from collections.abc import Callable
from dataclasses import dataclass

from simulator.results.store import Results
from simulator.results.written import Written


@dataclass(frozen=True)
class Outputs:
    """Functions that make files of a sweep's rows, and write them through the list of the folder's files.

    Attributes:
        remove: deletes what belongs to rows that are about to change.
        write: writes into the results' folder what shall be read and looked at.
    """

    remove: Callable[[Written], None]
    write: Callable[[Results, Written], None]


ROWS_ONLY = Outputs(remove=lambda written: None, write=lambda results, written: None)
