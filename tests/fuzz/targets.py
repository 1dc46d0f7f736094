"""What strangers' bytes meet: one function per kind of input. Each raises `UserError` or nothing; else it is a finding.

A target gets the bytes and a folder of its own to put them in. Seeds are small and made here, so that the repository
keeps only what once was a finding (`corpus/`).
"""

import io
import json
import random
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing, redirect_stderr, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from simulator.errors import UserError
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutate, change_tree, damage, rewrite

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        seeds: makes sound inputs, small ones.
        mutate: makes a damaged input of a seed.
        run: what the program does with an input; raises UserError or nothing.
        share: how many inputs it gets, relative to others.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    mutate: Mutate
    run: Callable[[bytes, Path], object]
    share: float = 1.0


def _put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _picture(side: int = 24) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)


# --- BPG files -------------------------------------------------------------------------------------------------------


def _bpg_seeds() -> list[bytes]:
    from simulator.baselines import bpg

    rgb = np.asarray(_picture(20))
    return [bpg.encode(rgb, 45), bpg.encode(rgb, 20), bpg.encode(rgb, 40, "420"), bpg.encode(rgb[:8, :17], 51)]


def _bpg(data: bytes, folder: Path) -> None:
    from simulator.baselines import bpg

    rgb = bpg.decode(data)
    assert rgb.dtype == np.uint8
    assert rgb.ndim == 3


# --- results folders -------------------------------------------------------------------------------------------------

_SQL = (
    "UPDATE rows SET {column} = {value}",
    "UPDATE rows SET {column} = {value} WHERE rowid_like = 1",
    "UPDATE meta SET value = {value}",
    "UPDATE meta SET value = '[[' || value || ']]'",
    "DELETE FROM meta WHERE name = 'bounds'",
    "UPDATE plan SET key = {value}",
    "DELETE FROM plan",
    "DROP TABLE {table}",
    "ALTER TABLE rows DROP COLUMN {column}",
    "ALTER TABLE rows ADD COLUMN extra DEFAULT 3",
    "DROP TABLE {table}; CREATE TABLE {table} (key, position, name, value)",
    "DROP TABLE {table}; CREATE TABLE {table} (a); INSERT INTO {table} VALUES ({value})",
    "ALTER TABLE rows RENAME TO others; CREATE VIEW rows AS SELECT * FROM others",
    "ALTER TABLE rows RENAME TO others; CREATE VIEW rows AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
    "FROM n) SELECT others.* FROM others, n",
    "PRAGMA user_version = {number}",
    "PRAGMA application_id = {number}",
)
_SQL_VALUES = (
    *("NULL", "'x'", "''", "9e999", "-9e999", "1e308", "-1", "0", "x'00ff'", "CAST(x'ff' AS TEXT)", "1e-320"),
    *("9223372036854775807", "'1'", "printf('%.*c', 100000, '[')", "'{\"a\": NaN}'", "'Infinity'", "'[1]'", "'null'"),
)


def _results_seeds() -> list[bytes]:
    """A database is described by SQL that changes a sound one, or by its bytes after a zero byte."""
    return [b"PRAGMA user_version = 3"]


def _results_mutate(data: bytes, draw: random.Random) -> bytes:
    from simulator.results.rows import COLUMNS

    if draw.random() < 0.5:
        return b"\0" + damage(_sound_database(), draw)
    statements = []
    for _ in range(draw.choice((1, 1, 2, 4))):
        choice = {"column": draw.choice(COLUMNS), "table": draw.choice(("rows", "plan", "meta"))}
        choice |= {"value": draw.choice(_SQL_VALUES), "number": str(draw.choice((0, 1, 2, 3, 4, -1, 2**31 - 1)))}
        statements.append(draw.choice(_SQL).format(**choice))
    return ";\n".join(statements).encode()


@lru_cache(maxsize=1)
def _sound_database() -> bytes:
    import tempfile

    from simulator.results.store import DATABASE, Store

    with tempfile.TemporaryDirectory() as name:
        with Store(Path(name)) as store:
            rows = [_row(scheme, image, snr_db) for scheme in ("s", "t") for image in "ab" for snr_db in (0.0, 5.0)]
            meta = {"bounds": ["t"], "names": {"s": "s"}, "lpips": {"net": "alex", "fingerprint": "0"}, "config": {}}
            store.set_plan([one.key for one in rows], meta)
            store.add(rows)
            store._connection.execute("PRAGMA journal_mode = DELETE")
        return (Path(name) / DATABASE).read_bytes()


def _row(scheme: str, image: str, snr_db: float) -> Any:
    from simulator.results.rows import Row

    bill = {"payload": 90, "side_information": 2, "header": 3, "crc": 3, "padding": 2, "pilots": 0}
    return Row(
        **{"key": f"{scheme}{image}{snr_db}", "scheme": scheme, "channel": "awgn", "snr_db": snr_db},
        **{"cbr_target": 1 / 16, "image": image, "realisation": 0, "snr_db_realised": snr_db, "psnr_db": 30.0},
        **{"ms_ssim": 0.9, "lpips": 0.2, "outage": False, "cbr": 0.06, "cbr_payload": 0.05},
        **bill,
        **{"encode_s": 0.1, "decode_s": 0.1},
    )


def _results(data: bytes, folder: Path) -> None:
    from rich.console import Console

    from simulator.analysis import tables
    from simulator.analysis.curves import make_curves
    from simulator.analysis.statistics import BILL_COLUMNS, Bill, Point, bills, summarise
    from simulator.results.rows import public_record
    from simulator.results.store import DATABASE, load_results

    path = folder / DATABASE
    if data[:1] == b"\0":
        path.write_bytes(data[1:])
    else:
        path.write_bytes(_sound_database())
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in data.decode("utf-8", "replace").split(";"):
                with suppress(sqlite3.Error, sqlite3.Warning, ValueError):
                    connection.execute(statement)
    results = load_results(folder)
    points, spent = summarise(results.rows), bills(results.rows)
    tables.to_json(public_record(row) for row in results.rows)
    tables.to_json(map(Point.record, points))
    tables.to_json(map(Bill.record, spent))
    text = tables.rows_csv(results.rows) + tables.summary_csv(points) + tables.table_csv(BILL_COLUMNS, spent)
    assert text
    console = Console(file=io.StringIO(), width=200)
    for table in (tables.rows_table(results.rows), tables.summary_table(points), tables.bills_table(spent)):
        console.print(table)
    make_curves([results])


# --- configurations --------------------------------------------------------------------------------------------------

_YAML_TOKENS = (
    *(
        "\n",
        "  ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object:os.system ",
        "!!binary ",
        "|",
    ),
    *("> ", "? ", "---\n", "...\n", "%YAML 1.1\n", "~", "yes", "0x10", "0o7", "1_000", "1:30:00", ".inf", ".nan"),
    *("snr: ", "schemes: ", "cbr: ", "channels: ", "figures: ", "reference: ", "stages: ", "loop: ", "model: ", '"'),
    *("0:15:1e-9", "1/16", "1/0", "lrisc", "bpg-ldpc", "2026-02-30", "2026-01-01", "\t", "#", "'", "a: &a [*a, *a]\n"),
    "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n",
)


def _shipped(*patterns: str) -> list[bytes]:
    paths = [path for pattern in patterns for path in sorted((CHECKOUT / "experiments").glob(pattern))]
    return [path.read_bytes() for path in paths]


def _yaml_mutate(data: bytes, draw: random.Random) -> bytes:
    """Damage the text, or the tree that it stands for."""
    import yaml

    if draw.random() < 0.4:
        return rewrite(_YAML_TOKENS)(data, draw)
    tree = change_tree(yaml.safe_load(data), draw)
    return yaml.safe_dump(tree, sort_keys=False).encode()


def _experiment(data: bytes, folder: Path) -> None:
    from simulator.experiments.read import read_experiment

    read_experiment(str(_put(folder, "experiment.yaml", data)))


def _training(data: bytes, folder: Path) -> None:
    from simulator.baselines.deepjscc.training import DeepJsccSystem
    from simulator.models.training.entries import read_config, share_minutes
    from simulator.models.training.receiving import ReceiverSystem
    from simulator.models.training.stages import LriscSystem

    config = read_config(_put(folder, "training.yaml", data))
    systems = {"deepjscc": DeepJsccSystem, "receiver": ReceiverSystem}
    system = systems.get(str(config.get("system")), LriscSystem)()
    share_minutes([stage.loop for stage in system.stages(config)], 5.0)


_SETTINGS = (b"loop.batch=8", b"stages.2.loop.minutes=5", b"model.rate_levels=[2, 4]", b"name='x'", b"a.b.c={d: [1]}")


def _setting(data: bytes, folder: Path) -> None:
    from simulator.spec.configuration import override

    config = {"loop": {"batch": 4}, "stages": [{"loop": {}}, {"loop": {"minutes": 3}}], "name": "n", "empty": None}
    override(config, data.decode("utf-8", "replace"))


# --- what is typed ---------------------------------------------------------------------------------------------------

_GRID_SEEDS = (b"0:15:2.5", b"-5,0,5", b"0:4,10", b"1/48,1/16", b"0.0625", b"0:15:1e-9", b"1/3")
_GRID_TOKENS = (":", ",", "/", "-", "+", ".", "e", "1e-9", "1e999", "inf", "nan", "_", "0x1", "1/0", "0:100:1e-6", " ")


def _grid(data: bytes, folder: Path) -> None:
    from simulator.spec import grids

    text = data.decode("utf-8", "replace")
    for parse in (grids.parse_snr, grids.parse_snrs, grids.parse_cbr, grids.parse_cbrs):
        with suppress(UserError):
            parse(text)


_SPEC_SEEDS = (
    *(b"scheme bpg-ldpc:16qam-1/2:chroma=420", b"scheme bpg-ldpc:decoder=sionna", b"scheme bpg-capacity"),
    *(b"scheme deepjscc:weights=.", b"scheme lrisc:weights=.:steps=3", b"scheme lrisc:gamma=0.5:seed=3"),
    *(b"channel awgn", b"channel rician:K=6", b"channel tdl-c:delay_spread_ns=100:csi=lmmse:speed_kmh=60"),
    *(b"channel cdl-c:delay_spread_ns=30", b"channel uma:los=yes"),
)
_SPEC_TOKENS = (
    *(":", "=", "::", "weights=", "steps=", "gamma=", "seed=", "chroma=", "K=", "speed_kmh=", "1e999", "nan", "-1"),
    *("delay_spread_ns=", "csi=", "lmmse", "/", "..", "~", "scheme ", "channel ", "qam", "adaptation=genie", "1_0"),
)


def _spec(data: bytes, folder: Path) -> None:
    from simulator.channels import load_channel
    from simulator.link import load_scheme

    kind, _, spec = data.decode("utf-8", "replace").partition(" ")
    (load_channel if kind == "channel" else load_scheme)(spec)


_LINES = (
    *(
        b"sweep --snr 0:15 --cbr 1/16 --scheme bpg-ldpc --out x",
        b"transmit a.png --snr 5 --cbr 0.0625",
        b"show r --bill",
    ),
    *(b"plot r --x cbr --out f", b"bpg encode a.png b.bpg --max-bytes 400", b"train lrisc --data d --set loop.batch=2"),
    *(b"reproduce figure4 --limit 2 --workers 2", b"compare r --reference lrisc", b"data coco --out d", b"check"),
)
_LINE_TOKENS = (
    " ",
    "--",
    "-",
    "--snr ",
    "--cbr ",
    "--workers ",
    "--seed ",
    "-1",
    "1e9",
    "0:15:0",
    "''",
    "=",
    "٣",
    "--x=",
)


def _command_line(data: bytes, folder: Path) -> None:
    from simulator.__main__ import build_parser

    words = data.decode("utf-8", "replace").replace("\n", " ").split(" ")
    if any(word in ("-h", "--help", "--version") or word.startswith(("--h", "--v")) for word in words):
        return
    try:
        with redirect_stderr(io.StringIO()) as said:
            build_parser().parse_args(words)
    except SystemExit as end:
        if end.code != 2 or not said.getvalue().startswith("error: ") or said.getvalue().count("\n") != 1:
            raise AssertionError(f"exit code {end.code}, {said.getvalue()!r}") from None


# --- what crosses the channel ----------------------------------------------------------------------------------------


def _ratemap(data: bytes, folder: Path) -> None:
    from simulator.models.lrisc.ratemap import decode_map

    height, width, levels = (1 + byte % limit for byte, limit in zip(data[:3].ljust(3), (24, 24, 16), strict=True))
    try:
        decoded = decode_map(data[3:], (height, width), levels)
    except ValueError:  # its way to say that no map has this code
        return
    assert decoded.shape == (height, width)
    assert decoded.min() >= 0
    assert decoded.max() < levels


def _ratemap_seeds() -> list[bytes]:
    from simulator.models.lrisc.ratemap import encode_map

    levels = np.random.default_rng(1).integers(0, 16, (12, 8))
    return [bytes((11, 7, 15)) + encode_map(levels, 16), bytes((3, 3, 1)) + b"\xff" * 9, bytes(3)]


def _received(data: bytes, count: int) -> Any:
    """`count` received symbols whose floats are the bytes themselves: any size, NaN and infinity included.

    Noise variances are positive, as every receiver's estimate is.
    """
    from simulator.channels import Received

    values = np.frombuffer(data.ljust(4, b"\1")[: len(data) // 4 * 4 or 4], "<f4")
    values = torch.from_numpy(np.resize(values, 5 * count).astype(np.float32))
    symbols, gain = (torch.view_as_complex(part.reshape(-1, 2)) for part in values[: 4 * count].split(2 * count))
    variance = values[4 * count :].nan_to_num(1.0).abs().clamp(1e-30, 1e30)
    return Received(symbols.clone(), gain.clone(), variance)


def _float_seeds() -> list[bytes]:
    draw = np.random.default_rng(1)
    ordinary = draw.normal(0, 0.7, 200).astype("<f4")
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e38, -1e38, 1e-45, 1e-30, 1], "<f4")
    return [ordinary.tobytes(), np.abs(ordinary).tobytes(), odd.tobytes(), np.full(5, 1e38, "<f4").tobytes(), b""]


_CELLS, _BUDGET = (4, 6), 700


def _airframe_seeds() -> list[bytes]:
    """Symbols; and an SNR, a header and a map of which every CRC will hold."""
    from simulator.models.lrisc.airframe import pack_map

    levels = np.random.default_rng(1).integers(0, 16, _CELLS)
    packed = pack_map(levels, 2, 16)
    headed = [struct.pack(">BhBH", 12, -321, grid, length) for grid, length in ((2, len(packed)), (0, _BUDGET))]
    return [*_float_seeds(), *(head + packed for head in headed)]


def _airframe(data: bytes, folder: Path) -> list[object]:
    """What is read of symbols, and of bytes behind CRCs that hold."""
    from simulator.link import LinkState
    from simulator.models.lrisc.airframe import demodulate_scale, demodulate_side_information

    state = LinkState("awgn", (data[0] if data else 0) % 24 - 2.0)
    values, found = torch.arange(1, 17) * 8.0, []
    for part in (_received(data, _BUDGET), _received(data, 3), _side_received(data[1:], state)):
        read = demodulate_side_information(part, _CELLS, values, state)
        assert read is None or read.levels.shape == _CELLS
        found += [read, demodulate_scale(part, state)]
    return found


def _side_received(data: bytes, state: Any) -> Any:
    """Reception without errors of a header and a map of any content."""
    from simulator.channels import Received
    from simulator.link.blocks import modulate_block
    from simulator.models.lrisc.airframe import header_format, map_format

    header = data[:5].ljust(5, b"\0")
    ways = [(header, header_format(state, _BUDGET)), (data[5:], map_format(header[3] << 8 | header[4], state, _BUDGET))]
    sent = [modulate_block(part[: way.form.payload_bytes], way) for part, way in ways if way.num_symbols <= _BUDGET]
    symbols = torch.cat([*sent, torch.zeros(_BUDGET)])[:_BUDGET].to(torch.complex64)
    return Received(symbols, torch.ones_like(symbols), torch.full((_BUDGET,), 1e-3))


def _transport(data: bytes, folder: Path) -> None:
    from simulator.phy.mcs import MCS_TABLE
    from simulator.phy.transport import decode_transport_blocks, transport_format

    form = transport_format(300, MCS_TABLE[(data[0] if data else 0) % len(MCS_TABLE)])
    values = np.frombuffer(data.ljust(4, b"\1")[: len(data) // 4 * 4 or 4], "<f4")
    (result,) = decode_transport_blocks(np.resize(values, (1, form.coded_bits)), form)
    assert len(result.payload) == form.payload_bytes


def _reception_seeds() -> list[bytes]:
    import tempfile

    from simulator.link import LinkState, Reception

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "reception.safetensors"
        received = _received(_float_seeds()[1], 16)
        Reception([received], (16, 16), LinkState("awgn", 5.0)).save(path)
        return [path.read_bytes()]


def _reception(data: bytes, folder: Path) -> None:
    from simulator.baselines.separation import bpg_ldpc
    from simulator.link import Reception

    reception = Reception.load(_put(folder, "reception.safetensors", data))
    if len(reception.received) < 20 and max(reception.image_size) <= 1024:
        decoded = bpg_ldpc("4qam-1/2").decode(reception)
        assert decoded.images.isfinite().all()


# --- weights and checkpoints -----------------------------------------------------------------------------------------

_MARK = b"\n--weights--\n"  # between a model card and its weights


@lru_cache(maxsize=1)
def _tiny_card_and_weights() -> tuple[bytes, bytes]:
    import tempfile

    from simulator.models.lrisc.codec import Lrisc
    from simulator.models.lrisc.config import LriscConfig, Variant
    from simulator.models.pretrained import release

    config = LriscConfig(
        **{"latent_channels": 12, "transform_channels": (8, 8, 8), "hyper_channels": 4, "rate_levels": (2, 4, 12)},
        **{"jscc_heads": 2, "jscc_window": 4, "jscc_blocks": 1, "unet_channels": (8, 8), "unet_blocks": 1},
        **{"unet_attention": (False, True), "condition_channels": 8, "conditioned_levels": 2},
    )
    torch.manual_seed(0)
    state = Lrisc(config, Variant()).state_dict()
    card = {
        "system": "lrisc",
        "config": {"model": asdict(config), "defaults": {"steps": 1, "gamma": 0.8}, "snr_db": [0, 20]},
    }
    with tempfile.TemporaryDirectory() as name:
        path = release(Path(name), "net", state, card)
        return path.with_suffix(".json").read_bytes(), path.read_bytes()


def _weights_mutate(data: bytes, draw: random.Random) -> bytes:
    import hashlib

    card, weights = _tiny_card_and_weights()
    if draw.random() < 0.5:
        weights = mutations.rewrite_safetensors(weights, draw)
        record = json.loads(card)
    else:
        record = change_tree(json.loads(card), draw)
    if draw.random() < 0.9 and isinstance(record, dict):
        record["sha256"] = hashlib.sha256(weights).hexdigest()
    text = json.dumps(record).encode()
    return (damage(text, draw) if draw.random() < 0.1 else text) + _MARK + weights


def _weights(data: bytes, folder: Path) -> None:
    from simulator.models.lrisc.scheme import LriscScheme

    card, _, weights = data.partition(_MARK)
    _put(folder, "net.json", card)
    _put(folder, "net.safetensors", weights)
    scheme = LriscScheme(f"weights={folder}")
    scheme.fingerprint()


@lru_cache(maxsize=1)
def _deepjscc_seeds() -> list[bytes]:
    import tempfile

    from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig
    from simulator.models.pretrained import release

    sizes = {"encoder_width": 2, "encoder_blocks": 1, "decoder_width": 2, "decoder_blocks": 1}
    sizes |= {"uses": 48, "detail_width": 2, "detail_blocks": 1}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        card = {"system": "deepjscc", "model": sizes}
        path = release(Path(name), "net", DeepJsccNet(NetConfig(**sizes)).state_dict(), card)
        return [path.with_suffix(".json").read_bytes() + _MARK + path.read_bytes()]


def _deepjscc_mutate(data: bytes, draw: random.Random) -> bytes:
    card, _, weights = data.partition(_MARK)
    return json.dumps(change_tree(json.loads(card), draw)).encode() + _MARK + weights


def _deepjscc(data: bytes, folder: Path) -> None:
    from simulator.baselines.deepjscc.scheme import RATIOS, DeepJscc

    card, _, weights = data.partition(_MARK)
    for ratio in RATIOS:
        _put(folder, f"deepjscc-{ratio.numerator}-{ratio.denominator}.json", card)
        _put(folder, f"deepjscc-{ratio.numerator}-{ratio.denominator}.safetensors", weights)
    scheme = DeepJscc(f"weights={folder}")
    scheme.fingerprint()
    scheme._net((16, 16), 48)


def _checkpoint_seeds() -> list[bytes]:
    import tempfile

    from simulator.models.training.checkpoint import save_checkpoint

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "checkpoint.safetensors"
        tensors = {
            "model.weight": torch.zeros(3, 2),
            "ema.weight": torch.ones(3, 2),
            "optimizer.0.step": torch.tensor(3),
            "optimizer.0.exp_avg": torch.zeros(3, 2),
            "optimizer.0.exp_avg_sq": torch.ones(3, 2),
        }
        save_checkpoint(path, tensors, {"step": 3, "config": {"batch": 2}, "elapsed_s": 1.5})
        return [path.read_bytes()]


def _checkpoint(data: bytes, folder: Path) -> None:
    from simulator.models.training.checkpoint import load_checkpoint, restore_optimizer

    checkpoint = load_checkpoint(_put(folder, "checkpoint.safetensors", data))
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    restore_optimizer(torch.optim.AdamW([weight]), checkpoint.part("optimizer"))


# --- pictures and shards ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _image_seeds() -> list[bytes]:
    picture = _picture()
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (picture, "PNG", {}),
        (picture.convert("P"), "PNG", {"transparency": 3}),
        (picture.convert("LA"), "PNG", {}),
        (Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)), "PNG", {}),
        (picture.convert("1"), "PNG", {}),
        (picture, "JPEG", {"quality": 60}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture, "WEBP", {"lossless": True}),
        (picture, "WEBP", {"quality": 30}),
        (picture, "TIFF", {}),
        (picture, "TIFF", {"compression": "tiff_lzw"}),
        (picture.convert("F"), "TIFF", {}),
        (picture, "BMP", {}),
        (picture, "PPM", {}),
        (picture, "GIF", {"save_all": True, "append_images": [_picture(20).resize((24, 24))]}),
        (picture, "WEBP", {"save_all": True, "append_images": [picture.rotate(90)]}),
        (picture, "TIFF", {"save_all": True, "append_images": [picture.rotate(90)]}),
    ]
    seeds = []
    for image, kind, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        seeds.append(buffer.getvalue())
    exif = picture.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    return [*seeds, buffer.getvalue()]


def _image_mutate(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.15:  # claim a size that the data do not have
        at = data.find(b"IHDR")
        size = struct.pack(">II", draw.choice((0, 1, 10**4, 10**5, 2**31 - 1)), draw.choice((1, 10**4, 2**31 - 1)))
        data = data[: at + 4] + size + data[at + 12 :] if at >= 0 else data
    else:
        data = damage(data, draw)
    return mutations.repair_png(data) if draw.random() < 0.7 and data[:4] == b"\x89PNG" else data


def _image(data: bytes, folder: Path) -> None:
    from simulator.images import load_image

    rgb = load_image(_put(folder, "image", data))
    assert rgb.dtype == np.uint8
    assert rgb.shape[2] == 3


@lru_cache(maxsize=1)
def _shard_seeds() -> list[bytes]:
    pictures = {
        f"p{index}.{'png' if index % 2 else 'jpg'}": _image_seeds()[0 if index % 2 else 5] for index in range(3)
    }
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as shard:
        for name, data in pictures.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("device.png", tarfile.CHRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            shard.addfile(member)
        member = tarfile.TarInfo("../../escape.png")
        member.size = 10
        shard.addfile(member, io.BytesIO(bytes(10)))
    pax = io.BytesIO()
    with tarfile.open(fileobj=pax, mode="w", format=tarfile.PAX_FORMAT) as shard:
        member = tarfile.TarInfo("é" * 60 + ".png")
        member.size, member.pax_headers = 10, {"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"}
        shard.addfile(member, io.BytesIO(b"1\n0\n9\n" + bytes(4)))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    gnu = io.BytesIO()
    with tarfile.open(fileobj=gnu, mode="w:gz") as shard:
        member = tarfile.TarInfo("x" * 150 + ".png")
        shard.addfile(member)
    return [tar.getvalue(), tar.getvalue(), pax.getvalue(), packed.getvalue(), packed.getvalue(), gnu.getvalue()]


def _shard_mutate(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(damage(data, draw) if draw.random() < 0.5 else data)
    if data[257:262] == b"ustar":
        for _ in range(draw.randint(1, 3)):  # the fields of a header: size, type, link name, prefix
            start = 512 * draw.randrange(max(1, len(changed) // 512))
            offset, values = draw.choice(
                (
                    (124, (b"77777777777\0", b"\x80" + bytes(10) + b"\xff", b"-0000000001\0", b"zzz", b"\xff" * 12)),
                    (156, tuple(bytes((code,)) for code in b"0123456789SLKxgVMN\0")),
                    (157, (b"/etc/passwd\0", b"../" * 10, b"\0")),
                    (345, (b"/", b"..", b"\xff\xfe")),
                    (386, (b"00000000001\0" * 8,)),
                )
            )
            value = draw.choice(values)
            changed[start + offset : start + offset + len(value)] = value
        return mutations.repair_tar(bytes(changed))
    return bytes(changed)


def _shard(data: bytes, folder: Path) -> None:
    from simulator.models.training.data import load_images

    before = {path.name for path in folder.parent.iterdir()}
    path = _put(folder, "shard.zip" if data[:2] == b"PK" else "shard.tar", data)
    try:
        load_images([path], workers=1)
    finally:
        assert {one.name for one in folder.iterdir()} == {path.name}  # nothing is ever extracted
        assert {one.name for one in folder.parent.iterdir()} == before


TARGETS = {
    target.name: target
    for target in (
        Target("bpg", _bpg_seeds, damage, _bpg, 2),
        Target("results", _results_seeds, _results_mutate, _results, 0.5),
        Target("experiment", lambda: _shipped("*.yaml"), _yaml_mutate, _experiment, 0.5),
        Target("training", lambda: _shipped("train/*.yaml", "train/ablations/*.yaml"), _yaml_mutate, _training, 0.5),
        Target("setting", lambda: list(_SETTINGS), rewrite((*_YAML_TOKENS, "=", ".")), _setting, 1.5),
        Target("grid", lambda: list(_GRID_SEEDS), rewrite(_GRID_TOKENS), _grid, 2),
        Target("spec", lambda: list(_SPEC_SEEDS), rewrite(_SPEC_TOKENS), _spec, 0.5),
        Target("command-line", lambda: list(_LINES), rewrite(_LINE_TOKENS), _command_line, 0.3),
        Target("rate-map", _ratemap_seeds, damage, _ratemap, 1.5),
        Target("airframe", _airframe_seeds, damage, _airframe, 1),
        Target("transport", _float_seeds, damage, _transport, 1),
        Target("reception", _reception_seeds, mutations.rewrite_safetensors, _reception, 1),
        Target("weights", lambda: [_MARK.join(_tiny_card_and_weights())], _weights_mutate, _weights, 0.3),
        Target("deepjscc-card", _deepjscc_seeds, _deepjscc_mutate, _deepjscc, 0.3),
        Target("checkpoint", _checkpoint_seeds, mutations.rewrite_safetensors, _checkpoint, 3),
        Target("image", _image_seeds, _image_mutate, _image, 3),
        Target("shard", _shard_seeds, _shard_mutate, _shard, 1),
    )
}
