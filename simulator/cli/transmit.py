"""`transmit`: send one image and print its cost and quality."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from simulator.cli import arguments
from simulator.cli.arguments import add_device, add_json, add_lpips, add_precision, add_seed, cbr, seed, snr_db
from simulator.cli.examples import add_examples
from simulator.cli.verbosity import LOG, is_quiet
from simulator.disk import check_not_source, write_file
from simulator.errors import UserError, readable, visible

# Lossless formats only: the file must contain the pixels that were measured.
OUT_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".ppm")
EXAMPLES = (
    (
        "through LRISC at 5 dB, with the received picture",
        "simulator transmit photo.jpg --scheme lrisc --snr 5 --out got.png",
    ),
    ("a photograph from a phone, scaled down first", "simulator transmit photo.jpg --resize 1024 --cbr 1/24"),
    (
        "over multipath, with pilots and estimation",
        "simulator transmit photo.jpg --channel tdl-c:speed_kmh=60:csi=lmmse",
    ),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("transmit", help="send one image and print its bill and its quality")
    parser.add_argument("image", type=arguments.path, metavar="IMAGE", help="PNG, JPEG, WebP or TIFF")
    text = "NAME[:OPTION...], such as bpg-ldpc, bpg-ldpc:16qam-1/2 or bpg-capacity (default: bpg-ldpc)"
    parser.add_argument("--scheme", default="bpg-ldpc", metavar="S", help=text)
    parser.add_argument("--snr", type=snr_db, default=10.0, metavar="DB", help="average Es/N0 in dB (default: 10)")
    text = "channel uses per source value, such as 1/16 or 0.0625 (default: 1/16)"
    parser.add_argument("--cbr", type=cbr, default=Fraction(1, 16), metavar="R", help=text)
    parser.add_argument("--channel", default="awgn", metavar="C", help="channel (default: awgn)")
    text = "scale the image first, so that its longer side has N pixels"
    parser.add_argument("--resize", type=arguments.crop_side, metavar="N", help=text)
    text = f"then cut N x N pixels from its centre (N >= {arguments.MIN_SIDE})"
    parser.add_argument("--crop", type=arguments.crop_side, metavar="N", help=text)
    parser.add_argument(
        "--realisation", type=seed, default=0, metavar="N", help="number of the channel draw (default: 0)"
    )
    add_seed(parser)
    add_lpips(parser)
    add_device(parser)
    add_precision(parser)
    text = f"where to write the received image ({', '.join(OUT_SUFFIXES)})"
    parser.add_argument("--out", type=arguments.path, metavar="FILE", help=text)
    text = "file for everything that the receiver gets (.safetensors), enough to decode in another process"
    parser.add_argument("--save-reception", type=arguments.path, metavar="FILE", help=text)
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Send the image; write files only on success."""
    _check_target(args.out, OUT_SUFFIXES)
    _check_target(args.save_reception, (".safetensors",))
    for target in (args.out, args.save_reception):
        check_not_source(target, args.image)

    from simulator.channels import load_channel
    from simulator.devices import check_device
    from simulator.link import Bound, check_supported, load_scheme, on_device
    from simulator.link.delivery import deliver

    check_device(args.device)
    channel = load_channel(args.channel)
    scheme = load_scheme(args.scheme)
    check_supported(scheme, args.cbr)
    if isinstance(scheme, Bound) and args.save_reception:
        raise UserError(f"'{scheme.name}' is a bound and receives nothing; leave out --save-reception")
    image = _read(args)
    lpips = _lpips_net(args.lpips)
    scheme = on_device(scheme, args.device, args.precision)
    with _shown_stages(
        f"{visible(readable(args.image.name))} {image.shape[2]}x{image.shape[1]}, {scheme.name}"
    ) as stage:
        delivery = deliver(scheme, image[None], args.cbr, channel, args.snr, args.realisation, args.seed, lpips, stage)
    trip, shown = delivery.trip, delivery.shown[0]
    if args.out:
        _write_image(args.out, shown)
    if args.save_reception and trip.reception:
        _save_reception(args.save_reception, trip.reception)
    height, width = image.shape[1:]
    record = {
        "image": readable(args.image.name),
        "height": height,
        "width": width,
        "scheme": scheme.name,
        "channel": channel.name,
        "snr_db": args.snr,
        "cbr_target": float(args.cbr),
        "realisation": args.realisation,
        "seed": args.seed,
    } | delivery.record(0)
    print(json.dumps(record) if args.json else _text(record, trip.ledgers[0].total))


def _read(args: argparse.Namespace) -> Any:
    """The image as it is sent: float32 [3, H, W]."""
    from simulator.images import load_image
    from simulator.images.pixels import centre_crop, scale_to, to_float

    rgb = load_image(args.image)
    rgb = rgb if args.resize is None else scale_to(rgb, args.resize)
    return to_float(rgb if args.crop is None else centre_crop(rgb, args.crop, args.image.name))


@contextmanager
def _shown_stages(what: str) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done and for how long: on a terminal a line that disappears in the end."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=is_quiet() or not console.is_terminal) as shown:
        task = shown.add_task(what)

        def stage(name: str) -> None:
            LOG.info("%s", name)
            shown.update(task, description=f"{what}: {name}")

        yield stage


def _text(record: dict[str, Any], total: int) -> str:
    """The bill and the metrics, for people."""
    image = visible(record["image"])
    quality = [f"PSNR {record['psnr_db']:.2f} dB"]
    quality += [f"MS-SSIM {record['ms_ssim']:.4f}"] if record["ms_ssim"] is not None else []
    quality += [f"LPIPS {record['lpips']:.4f}"] if record["lpips"] is not None else []
    items = ("payload", "side_information", "header", "crc", "padding", "pilots")
    spent = [f"  {item.replace('_', ' '):17}{record[item]:>9}" for item in items if record[item]]
    lines = [
        f"{image} ({record['width']}x{record['height']}), {record['scheme']} over {record['channel']}"
        f" at {record['snr_db']:g} dB",
        f"channel uses{total:>16}   CBR {record['cbr']:.5f}, payload alone {record['cbr_payload']:.5f}",
        *spent,
        ", ".join(quality),
    ]
    if record["outage"]:
        from simulator.link.delivery import explain_outage

        lines.append(f"outage: {explain_outage(record)}; the receiver shows grey")
    return "\n".join(lines)


def _lpips_net(name: str) -> Any:
    """The network, or None with a warning where there is no backbone."""
    from simulator.metrics import LpipsNet, LpipsUnavailable

    if name == "none":
        return None
    try:
        return LpipsNet(name)
    except LpipsUnavailable as error:
        print(f"warning: no LPIPS: {error}", file=sys.stderr)
        return None


def _check_target(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that could not be written before the work is done."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise UserError(f"cannot write '{path}': its name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"cannot write '{path}': it is a folder; name a file")


def _write_image(path: Path, image: Any) -> None:
    import io

    from PIL import Image

    from simulator.images.pixels import to_uint8

    Image.init()
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(buffer, Image.EXTENSION[path.suffix.lower()])
    write_file(path, buffer.getvalue(), "choose another --out")


def _save_reception(path: Path, reception: Any) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "reception.safetensors"
        reception.save(part)
        write_file(path, part.read_bytes(), "choose another --save-reception")
