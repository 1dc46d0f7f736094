"""`bench ldpc`, `bench mcs`, `bench channels` and others: measure ratios and thresholds, not only times."""

import argparse
import json
import os

from simulator.cli import arguments
from simulator.cli.arguments import add_json, positive_int
from simulator.cli.bench import all as all_parts
from simulator.cli.bench import sweep
from simulator.cli.bench.shown import show_table
from simulator.cli.examples import add_examples
from simulator.disk import write_file
from simulator.errors import UserError


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    verb = subparsers.add_parser("bench", help="measure decoders, MCS thresholds and channels")
    add_examples(
        verb,
        ("every ratio in one table", "simulator bench all --quick"),
        ("how fast a sweep is on this machine", "simulator bench sweep --scheme lrisc"),
        ("throughput and BLER of the LDPC decoder", "simulator bench ldpc --blocks 500"),
    )
    targets = verb.add_subparsers(dest="target", metavar="TARGET", required=True)

    ldpc = targets.add_parser("ldpc", help="our LDPC decoder against Sionna's: throughput ratio and BLER")
    ldpc.add_argument("--blocks", type=positive_int, default=2000, metavar="N", help="our code blocks (default: 2000)")
    text = "code blocks for Sionna's flooding decoder, an eighth for its layered one (default: 200)"
    ldpc.add_argument("--reference-blocks", type=positive_int, default=200, metavar="N", help=text)
    add_json(ldpc)
    ldpc.set_defaults(run=_ldpc)

    mcs = targets.add_parser("mcs", help="required Es/N0 of each MCS; regenerates the threshold table (minutes)")
    text = "only these, such as 4qam-1/2,16qam-1/2 (default: all)"
    mcs.add_argument("--mcs", type=arguments.name_list, default=(), metavar="NAME,...", help=text)
    text = "effort: megabits simulated at the deepest point of each waterfall (default: 16)"
    mcs.add_argument("--megabits", type=positive_int, default=16, metavar="N", help=text)
    mcs.add_argument(
        "--write", type=arguments.path, metavar="FILE", help="write the table as JSON, as the program ships it"
    )
    add_json(mcs)
    mcs.set_defaults(run=_mcs)

    channels = targets.add_parser("channels", help="symbols per second of each channel and of bare Sionna blocks")
    text = "channels to measure, separated by commas (default: one of each kind)"
    channels.add_argument("--channel", type=arguments.name_list, default=(), metavar="SPEC,...", help=text)
    text = "data symbols per realisation (default: 73728, a Kodak image at CBR 1/16)"
    channels.add_argument("--symbols", type=positive_int, default=73_728, metavar="N", help=text)
    text = "number of realisations; the fastest counts (default: 10)"
    channels.add_argument("--repeats", type=positive_int, default=10, metavar="N", help=text)
    add_json(channels)
    channels.set_defaults(run=_channels)

    cost = targets.add_parser("cost", help="weights, multiply-accumulates, memory and time of schemes")
    text = "schemes to measure, separated by commas (default: all that have their weights)"
    cost.add_argument("--scheme", type=arguments.name_list, default=(), metavar="SPEC,...", help=text)
    add_json(cost)
    cost.set_defaults(run=_cost)

    sweep.add_targets(targets)
    all_parts.add_target(targets)


def _ldpc(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from rich.console import Console

    from simulator.analysis.fitting import Column, FittedTable
    from simulator.bench.phy import LDPC_CODE, LDPC_SNR_DB, compare_decoders

    progress = Console(stderr=True)
    reference_blocks = min(args.reference_blocks, args.blocks)
    with progress.status("decoding") as status:
        runs = compare_decoders(args.blocks, reference_blocks, lambda name: status.update(f"decoding: {name}"))
    ours = runs[0]
    if args.json:
        rows = [asdict(r) | {"speedup": ours.blocks_per_second / r.blocks_per_second} for r in runs]
        print(json.dumps({"info_bits": LDPC_CODE[0], "coded_bits": LDPC_CODE[1], "snr_db": LDPC_SNR_DB, "runs": rows}))
        return
    heads = ("speed-up", "blocks/s", "BLER", "95 %", "differ")
    table = FittedTable([Column("decoder", is_name=True), *map(Column, heads)])
    for r in runs:
        low, high = r.bler_interval()
        table.add(
            r.decoder,
            f"{ours.blocks_per_second / r.blocks_per_second:.1f} x",
            f"{r.blocks_per_second:.1f}",
            f"{r.errors / r.blocks:.2%} ({r.errors}/{r.blocks})",
            f"{low:.2%}-{high:.2%}",
            str(r.disagreements),
        )
    show_table(
        f"LDPC k = {LDPC_CODE[0]}, n = {LDPC_CODE[1]}, 4-QAM, Es/N0 {LDPC_SNR_DB} dB, one thread",
        table,
        "speed-up: ours over this one; differ: blocks with another outcome than ours",
    )


def _mcs(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.phy import thresholds
    from simulator.phy.mcs import MCS_TABLE, parse_mcs

    if args.write and (args.write.is_dir() or not os.access(args.write.parent, os.W_OK)):
        raise UserError(f"cannot write {args.write}: give a file in a folder that exists and is not read-only")
    chosen = [parse_mcs(name) for name in args.mcs] or list(MCS_TABLE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(chosen) * len(thresholds.THRESHOLD_INFO_BITS))
        measured = []
        for result in thresholds.measure_thresholds(chosen, args.megabits * 1e6):
            measured.append(result)
            progress.update(task, advance=1, description=f"{result[0].name}, {result[1]} bits")
    table = thresholds.threshold_table(measured)
    if args.write:
        write_file(args.write, thresholds.format_table(table).encode(), "choose another file")
    if args.json:
        print(json.dumps(table))
    elif not args.write:
        _print_thresholds(table)


def _channels(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from rich.console import Console

    from simulator.analysis.fitting import Column, FittedTable
    from simulator.bench.channels import CHANNELS, compare_channels

    specs = args.channel or CHANNELS
    with Console(stderr=True).status("drawing") as status:
        measured = compare_channels(specs, args.symbols, args.repeats, lambda spec: status.update(f"drawing: {spec}"))
        runs = list(measured)
    load = os.getloadavg()[0]
    if args.json:
        rows = [asdict(one) | {"cost": one.cost} for one in runs]
        print(json.dumps({"symbols": args.symbols, "load": load, "runs": rows}))
        return
    heads = ("Msymbols/s", "bare Sionna", "time / bare")
    table = FittedTable([Column("channel", is_name=True), *map(Column, heads)])
    for one in runs:
        figures = (
            one.symbols_per_second / 1e6,
            one.bare_symbols_per_second and one.bare_symbols_per_second / 1e6,
            one.cost,
        )
        table.add(one.channel, *("-" if figure is None else f"{figure:.2f}" for figure in figures))
    show_table(
        f"{args.symbols} data symbols per realisation, one thread, processor time; load {load:.1f}",
        table,
        "bare: Sionna's draw, response and noise without keys, grid, interleaver or channel estimation",
    )


def _cost(args: argparse.Namespace) -> None:
    from simulator.cli.costs import print_costs, print_costs_of_all

    if args.scheme:
        print_costs(args.scheme, args.json)
    else:
        print_costs_of_all(args.json)


def _print_thresholds(measured: dict) -> None:
    from simulator.analysis.fitting import Column, FittedTable

    heads = ("info bits", *(f"BLER {bler:g}" for bler in measured["bler"]), "1 sigma")
    table = FittedTable([Column("MCS", is_name=True), *map(Column, heads)])
    for name, rows in measured["snr_db"].items():
        for info_bits, row, errors in zip(
            measured["info_bits"], rows, measured["standard_error_db"][name], strict=True
        ):
            table.add(name, str(info_bits), *(f"{value:.2f}" for value in row), f"{max(errors):.2f}")
    show_table("Es/N0 in dB over AWGN", table)
