"""`bpg encode` and `bpg decode`: the classical chain's image codec on files."""

import argparse
import io
import json

from simulator.cli import arguments
from simulator.cli.arguments import add_json, positive_int
from simulator.cli.examples import add_examples
from simulator.disk import check_not_source, is_stream, write_file
from simulator.errors import UserError

DEFAULT_QP = 29  # as bpgenc
MAX_QP = 51
CHROMA = ("444", "420")
ADVICE = "choose another place"


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    verb = subparsers.add_parser("bpg", help="encode an image as BPG, or decode one")
    add_examples(
        verb,
        ("the best quality that fits into 20 kB", "simulator bpg encode photo.png photo.bpg --max-bytes 20000"),
        ("back to PNG", "simulator bpg decode photo.bpg decoded.png"),
    )
    actions = verb.add_subparsers(dest="action", metavar="encode|decode", required=True)

    encode = actions.add_parser("encode", help="write a BPG file")
    encode.add_argument("source", type=arguments.path, metavar="IN", help="PNG, JPEG, WebP or TIFF")
    encode.add_argument("target", type=arguments.path, metavar="OUT.bpg")
    rate = encode.add_mutually_exclusive_group()
    text = f"quantiser, 0 (best) .. {MAX_QP}; 6 more halve the size (default: {DEFAULT_QP})"
    rate.add_argument("--qp", type=_qp, default=DEFAULT_QP, metavar="N", help=text)
    rate.add_argument("--max-bytes", type=positive_int, metavar="N", help="best quality that fits into N bytes")
    encode.add_argument("--chroma", choices=CHROMA, default="444", help="chroma sampling (default: 444)")
    add_json(encode)
    encode.set_defaults(run=run)

    decode = actions.add_parser("decode", help="write a BPG file as PNG")
    decode.add_argument("source", type=arguments.path, metavar="IN.bpg")
    decode.add_argument("target", type=arguments.path, metavar="OUT.png")
    add_json(decode)
    decode.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encode or decode one file; `target` appears whole or not at all."""
    check_not_source(args.target, args.source)
    report = _encode(args) if args.action == "encode" else _decode(args)
    if args.json:
        print(json.dumps(report))
    else:
        print(", ".join(f"{name} {value}" for name, value in report.items()))
    return 0


def _encode(args: argparse.Namespace) -> dict[str, object]:
    from simulator.baselines import bpg
    from simulator.images import load_image

    if args.target.suffix.lower() != ".bpg" and not is_stream(args.target):  # `bpg encode *.png` names two pictures
        raise UserError(f"{args.target}: BPG files have names that end in .bpg")
    rgb = load_image(args.source)
    if args.max_bytes is None:
        encoded = bpg.Encoded(bpg.encode(rgb, args.qp, args.chroma), args.qp)
    else:
        encoded = bpg.encode_to_size(rgb, args.max_bytes, args.chroma)
    write_file(args.target, encoded.data, ADVICE)
    height, width = rgb.shape[:2]
    size = len(encoded.data)
    return {
        **{"file": str(args.target), "width": width, "height": height, "chroma": args.chroma},
        **{
            "qp": encoded.qp,
            "finer_groups": encoded.finer,
            "bytes": size,
            "bits_per_pixel": round(8 * size / (height * width), 4),
        },
    }


def _decode(args: argparse.Namespace) -> dict[str, object]:
    from PIL import Image

    from simulator.baselines import bpg

    if args.target.suffix.lower() != ".png":
        raise UserError(f"{args.target}: BPG is decoded to PNG; give a name that ends in .png")
    try:
        data = args.source.read_bytes()
    except OSError as error:
        raise UserError(f"{args.source}: cannot be read ({error.strerror})") from None
    try:
        rgb = bpg.decode(data)
    except bpg.BpgError as error:
        raise UserError(f"{args.source}: {error}") from error
    png = io.BytesIO()
    Image.fromarray(rgb).save(png, "png")
    write_file(args.target, png.getvalue(), ADVICE)
    return {"file": str(args.target), "width": rgb.shape[1], "height": rgb.shape[0]}


def _qp(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_QP:
        raise argparse.ArgumentTypeError(f"'{text}' is not a QP; write a whole number from 0 to {MAX_QP}")
    return int(text)
