"""`weights import`, `list` and `reproduce`: published checkpoints for the schemes that run them."""

import argparse
from typing import Any

from simulator.cli import arguments
from simulator.cli.arguments import add_json, add_precision, positive_int
from simulator.cli.costs import print_costs
from simulator.cli.examples import add_examples


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    verb = subparsers.add_parser("weights", help="import published checkpoints, list them, compare them with papers")
    actions = verb.add_subparsers(dest="action", metavar="import|list|reproduce", required=True)
    take = actions.add_parser(
        "import",
        help="check a checkpoint and convert it to safetensors with a card",
        description="Read tensors only, check every key and shape against the network, and store the weights in the "
        "user's data folder (or SIMULATOR_DATA_DIR). Then run them with --scheme SYSTEM:weights=NAME.",
    )
    take.add_argument("file", type=arguments.path, metavar="FILE", help=".model, .pth, .pth.tar or .safetensors")
    text = "swinjscc, witt, ntscc, adjscc or pdjscc-published; with :mode=base or :mode=sa if the keys fit both, "
    text += "and :snr=DB if the weights were trained for one SNR"
    take.add_argument("--as", dest="kind", required=True, metavar="SYSTEM", help=text)
    take.add_argument("--name", metavar="NAME", help="name of the weights (default: the file's)")
    add_json(take)
    for parser in (verb, take):
        add_examples(
            parser,
            ("SwinJSCC's checkpoint", "simulator weights import swinjscc.model --as swinjscc:mode=sa --name swin"),
            ("then send through it", "simulator transmit photo.jpg --scheme swinjscc:weights=swin"),
        )
    take.set_defaults(run=run)
    again = actions.add_parser(
        "reproduce",
        help="run the points that a paper reports, and print them next to ours",
        description="Send Kodak over AWGN: SwinJSCC SA&RA at 5 SNRs and 5 rates, NTSCC at 10 dB.",
    )
    again.add_argument("name", metavar="NAME", help="imported weights, as 'weights list' shows them")
    text = "order of equal scores in SwinJSCC's mask: as old GPU sorts, or lowest index first (default: legacy)"
    again.add_argument("--ties", choices=("legacy", "index"), default="legacy", help=text)
    again.add_argument("--limit", type=positive_int, metavar="N", help="take the first N images only")
    add_precision(again)
    add_json(again)
    again.set_defaults(run=run_reproduce)
    show = actions.add_parser("list", help="show the imported weights")
    text = "measure weights, multiply-accumulates, memory and time of each"
    show.add_argument("--cost", action="store_true", help=text)
    add_json(show)
    show.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Import one file, or list all."""
    import json

    from simulator.spec.plugins import load_plugin

    library = load_plugin("simulator.libraries", "library of weights", "published")
    if args.action == "list" and args.cost:
        print_costs([f"{card['system']}:weights={card['name']}" for card in library.cards()], args.json)
        return
    cards = [library.add(args.file, args.kind, args.name)] if args.action == "import" else library.cards()
    if args.json:
        print(json.dumps(cards[0] if args.action == "import" else cards, indent=2))
        return
    for card in cards:
        print(_line(card))
    if not cards:
        print("no weights are imported; see 'simulator weights import --help'")


def run_reproduce(args: argparse.Namespace) -> None:
    """Print the points one by one."""
    import json
    from dataclasses import asdict

    from simulator.devices import resolve_precision
    from simulator.spec.plugins import load_plugin
    from simulator.sweep.executors import single_threaded

    single_threaded()
    library = load_plugin("simulator.libraries", "library of weights", "published")
    told = (lambda point: None) if args.json else _tell_point
    points = library.reproduce(args.name, args.ties, resolve_precision(args.precision, "cpu"), args.limit, told)
    if args.json:
        print(json.dumps([asdict(point) for point in points], indent=2))


def _tell_point(point: Any) -> None:
    print(
        f"{point.snr_db:>3g} dB  paper: CBR {point.paper_cbr:.4f}, {point.paper_psnr_db:.2f} dB   here: CBR "
        f"{point.cbr_payload:.4f} (all of it {point.cbr:.4f}), {point.psnr_db:.2f} dB   {point.scheme}",
        flush=True,
    )


def _line(card: dict[str, Any]) -> str:
    mode = f", mode {card['model']['mode']}" if "mode" in card["model"] else ""
    size = f"{card['bytes'] / 1e6:.0f} MB, sha256 {card['sha256'][:16]}"
    return f"{card['system']}:weights={card['name']}  ({card['title']}{mode}; {size})"
