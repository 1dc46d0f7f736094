"""`data get`: download public images for training and testing."""

import argparse
from pathlib import Path

from simulator.cli import arguments
from simulator.cli.examples import add_examples


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    verb = subparsers.add_parser("data", help="download public image sets")
    actions = verb.add_subparsers(dest="action", metavar="get", required=True)
    get = actions.add_parser(
        "get",
        help="download one set; rerun the same command to resume",
        description="kodak: the 24 test images (16 MB). coco: COCO val2017, 5,000 photographs (0.8 GB) to train on. "
        "coco-train: COCO train2017, 118,000 photographs (19 GB; train with --limit, because images stay in memory).",
    )
    get.add_argument("name", choices=("coco", "coco-train", "kodak"), metavar="SET", help="coco, coco-train or kodak")
    text = "folder for the archive (COCO only; default: the program's cache)"
    get.add_argument("--out", type=arguments.path, metavar="DIR", help=text)
    for parser in (verb, get):
        add_examples(
            parser,
            ("24 test images, 16 MB", "simulator data get kodak"),
            ("5,000 photographs to train on, 0.8 GB", "simulator data get coco"),
        )
    get.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Download, and say where the images are."""
    from simulator.errors import UserError
    from simulator.images.kodak import get_kodak

    if args.name == "kodak":
        if args.out:
            raise UserError("--out does not apply to Kodak; set KODAK_DIR or SIMULATOR_CACHE_DIR instead")
        print(f"Kodak is in {get_kodak()}; use it with --images kodak")
        return
    print(f"COCO is in {_get_with_bar(args.name, args.out)}; train on it with --data")


def _get_with_bar(name: str, folder: Path | None) -> Path:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from simulator.images.download import COCO, get_coco

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=COCO[name].bytes)
        return get_coco(name, folder, lambda done, total: progress.update(task, completed=done))
