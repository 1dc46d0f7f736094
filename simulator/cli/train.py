"""`train`: train a learned scheme from a YAML file, resume a run, or export its weights."""

import argparse
import os
from pathlib import Path

from simulator.cli import arguments
from simulator.cli.arguments import positive_int, positive_number
from simulator.cli.examples import add_examples

TRAINERS = "simulator.trainers"

COMPACT = "simulator train lrisc --config experiments/train/lrisc-compact.yaml"
EXAMPLES = (
    (
        "half an hour of DeepJSCC on your photographs",
        "simulator train deepjscc --config experiments/train/deepjscc.yaml --data photos --minutes 30",
    ),
    ("LRISC with another batch size", f"{COMPACT} --data photos --set loop.batch=4"),
    ("write the weights of a run", f"{COMPACT} --export weights"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "train",
        help="train a learned scheme; rerun the same command to resume",
        description="Train a learned scheme on one CPU, one GPU or (under accelerate launch or torchrun) several. "
        "If interrupted, rerun the same command to resume.",
    )
    text = "lrisc, receiver, deepjscc, pdjscc, swinjscc, witt, ntscc or adjscc"
    parser.add_argument("system", metavar="SYSTEM", help=text)
    text = "YAML file, or the name of one that ships, such as experiments/train/deepjscc.yaml"
    parser.add_argument("--config", type=arguments.path, required=True, metavar="FILE", help=text)
    text = "folders of images or of .tar shards, shards or images"
    parser.add_argument("--data", type=arguments.path, nargs="+", default=[], metavar="PATH", help=text)
    parser.add_argument("--limit", type=positive_int, metavar="N", help="use the first N images only")
    parser.add_argument("--stage", type=positive_int, metavar="N", help="run this stage only (default: all in order)")
    minutes = positive_number("a number of minutes; write a positive number such as 20")
    text = "wall-clock budget that overrides the file's; several stages share it in proportion to their own"
    parser.add_argument("--minutes", type=minutes, metavar="M", help=text)
    text = "auto: continue from the last checkpoint, if any; never: refuse a used folder (default: auto)"
    parser.add_argument("--resume", choices=("auto", "never"), default="auto", help=text)
    parser.add_argument("--out", type=arguments.path, metavar="DIR", help="run folder (default: runs/NAME-OF-CONFIG)")
    text = "change an option of the file, such as loop.batch=4 or stages.2.loop.minutes=5; may be repeated"
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=text)
    text = "train nothing; write the best weights so far and their model cards to this folder"
    parser.add_argument("--export", type=arguments.path, metavar="DIR", help=text)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train or export."""
    from simulator.errors import UserError
    from simulator.spec.plugins import load_plugin

    system = load_plugin(TRAINERS, "trainable system", args.system)
    run_dir = args.out or Path("runs") / args.config.stem
    if args.export:
        for path in system.export(args.config, run_dir, args.export, args.overrides):
            print(f"wrote {path}")
        return
    if not args.data:
        raise UserError(
            "training needs images: give folders or .tar shards with --data ('simulator data get coco' downloads some)"
        )
    results = system.train(
        args.config,
        args.data,
        run_dir,
        overrides=args.overrides,
        stage=args.stage,
        minutes=args.minutes,
        resume=args.resume,
        limit=args.limit,
    )
    if os.environ.get("RANK", "0") != "0":  # of several processes only the first prints
        return
    for result in results:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in result.best.items())
        print(f"done: {result.step} steps, {result.elapsed_s / 60:.1f} minutes; best: {figures}")
