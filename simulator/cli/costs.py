"""The table of what schemes cost, as `list schemes --cost`, `bench cost` and `weights list --cost` print it."""

import json
import sys
from collections.abc import Sequence

from simulator.errors import UserError


def print_costs(specs: Sequence[str], as_json: bool) -> None:
    """Measure schemes one by one and print a table, or JSON.

    Raises:
        UserError: no such scheme.
    """
    from simulator.analysis.fitting import Column, FittedTable
    from simulator.analysis.tables import print_table
    from simulator.cost import CBR, CROP, SNR_DB, measure_costs

    costs = measure_costs(specs)
    if as_json:
        print(json.dumps({"costs": [one.record() for one in costs]}, indent=2))
        return
    heads = ("weights", *(f"{what} {half}" for half in ("encoding", "decoding") for what in ("kMAC/pixel", "MiB", "s")))
    table = FittedTable([Column("scheme", is_name=True), *map(Column, heads)])
    for one in costs:
        cells = [
            (f"{half.macs_per_pixel / 1e3:.2f}", f"{half.peak_mib:.1f}", f"{half.seconds:.3f}")
            for half in (one.encoder, one.decoder)
        ]
        table.add(one.scheme, f"{one.weights:,}", *cells[0], *cells[1])
    print_table(table)
    print(f"one image of {CROP}x{CROP} at CBR {CBR} and {SNR_DB:g} dB; memory and time are this CPU's")


def print_costs_of_all(as_json: bool) -> None:
    """The same for every scheme that needs no file; schemes without weights are left out, with a note."""
    from simulator.link import load_scheme
    from simulator.spec import plugins

    ready = []
    for declared in plugins.declarations(plugins.SCHEMES):
        if declared.form:  # what follows the name is a file
            continue
        try:
            load_scheme(declared.name)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            ready.append(declared.name)
    print_costs(ready, as_json)
