"""What whoever runs a sweep makes of its rows. The sweep itself writes rows, pictures and provenance only."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from simulator.results.store import Results


@dataclass(frozen=True)
class Outputs:
    """What is made of a sweep's rows.

    Attributes:
        remove: deletes from a folder what belongs to rows that are about to change.
        write: writes into the results' folder what shall be read and looked at.
    """

    remove: Callable[[Path], None]
    write: Callable[[Results], None]


ROWS_ONLY = Outputs(remove=lambda folder: None, write=lambda results: None)
