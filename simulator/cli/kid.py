"""`kid`: compare the set of a scheme's received pictures with the set of their sources."""

import argparse
import json

from simulator.cli import arguments
from simulator.cli.arguments import add_json, note
from simulator.cli.examples import add_examples
from simulator.cli.verbosity import is_quiet

# Copied from simulator.metrics, which imports torch.
FEATURES = ("inception", "alex", "vgg")
PATCH, MIN_PATCH = 256, 32

EXAMPLES = (
    ("KID of what `sweep --keep-images all` kept", "simulator kid sweep-results"),
    ("with weights that were downloaded elsewhere", "simulator kid sweep-results --weights inception.pth"),
    ("a kernel distance on LPIPS' features", "simulator kid sweep-results --features alex --patch 128"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "kid",
        help="realism of sets: the kernel inception distance of received pictures from their sources",
        description="Compare the pictures that a scheme received at each point with their sources, as sets: the kernel "
        "inception distance (KID) of their patches. The sweep must have kept its pictures (--keep-images all). Writes "
        "kid.csv, or kernel-distance-NAME.csv for other features than Inception's, into RESULTS.",
    )
    parser.add_argument("results", type=arguments.path, metavar="RESULTS", help="folder that a sweep wrote")
    text = "network between whose features distances are measured: inception is KID, alex and vgg are LPIPS' backbones "
    text += "and give other distances (default: inception)"
    parser.add_argument("--features", choices=FEATURES, default=FEATURES[0], help=text)
    text = f"side of a patch in pixels, at least {MIN_PATCH} (default: {PATCH})"
    side = arguments.whole_number(MIN_PATCH, f"the side of a patch: at least {MIN_PATCH} pixels")
    parser.add_argument("--patch", type=side, default=PATCH, metavar="N", help=text)
    text = "file of Inception's weights (default: KID_WEIGHTS, the cache, or a download of 96 MB)"
    parser.add_argument("--weights", type=arguments.path, metavar="FILE", help=text)
    text = "where the network runs: cpu, cuda, cuda:N or mps (default: cpu)"
    parser.add_argument("--device", type=arguments.device, default="cpu", help=text)
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure, print the distances and write them into the folder."""
    from simulator import realism
    from simulator.analysis.tables import print_table
    from simulator.disk import write_file
    from simulator.errors import UserError
    from simulator.metrics.features import load_features
    from simulator.progress import shown_progress
    from simulator.results.store import load_results
    from simulator.results.trouble import explained
    from simulator.results.written import written_in

    if args.weights is not None and args.features != FEATURES[0]:
        raise UserError(f"--weights names Inception's; it does not apply to --features {args.features}")
    pictures = realism.find_pictures(load_results(args.results), args.patch, note)
    features = load_features(args.features, args.weights, args.device)  # may show a bar of its own
    with shown_progress(not is_quiet(), "picture") as (_, tell):
        measured = realism.measure_realism(pictures, features, args.patch, tell)
    if features.column not in ("kid", f"kernel_distance_{args.features}"):
        note("these are not the weights with which KID is defined, so this distance is not called KID")
    records = realism.realism_records(measured, features, args.patch)
    path = args.results / realism.realism_file(features)
    with explained(args.results), written_in(args.results, note) as written:
        write_file(path, realism.realism_csv(records), "make it writable", written.write)
    if args.json:
        print(json.dumps(records, indent=2))
        return
    print_table(realism.realism_table(measured, features))
    print(realism.realism_note(measured))
    print(path)
