"""Codecs, channels and metrics of a stranger: from Python files and Keras models, as docs/extend.md shows them."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.__main__ import main
from simulator.channels import load_channel
from simulator.codecs.kerasnets import import_keras
from simulator.errors import UserError
from simulator.images.pixels import to_float, to_uint8
from simulator.link import LinkState, Reception, load_scheme, transmit
from simulator.metrics import load_metric, psnr_db
from simulator.results.store import DATABASE, load_results
from simulator.sweep import run_sweep
from simulator.sweep.inputs import SweepConfig

GUIDE = Path(__file__).parents[2] / "docs" / "extend.md"
EXAMPLES = GUIDE.parent / "examples"

PIXELS = '''
import torch
from simulator.codecs import SymbolCodec

class Pixels(SymbolCodec):
    """Every pixel as an amplitude; the power tells the receiver nothing, so it must know the scale."""
    stride = 8

    def __init__(self, scale="1"):
        self.scale = float(scale)

    def encode(self, images, snr_db):
        self.seen = images
        signs = torch.where(torch.arange(images[0].numel()) % 2 == 0, 1, -1)
        return self.scale * (1 + images.reshape(1, -1)) * signs

    def decode(self, symbols, snr_db, noise_variance, size):
        assert noise_variance.shape == symbols.shape
        values = torch.view_as_real(symbols).reshape(1, -1).abs()
        values = values / values.mean() * 1.5 - 1
        return values.reshape(1, 3, *size)
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capfd, *arguments):
    """The one line with which the command line refuses."""
    capfd.readouterr()
    try:
        code = main(list(arguments))
    except SystemExit as refusal:
        code = refusal.code
    printed = capfd.readouterr()
    assert code == 2
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("error: ")
    return lines[0]


def sweep(*schemes, images, out="results", workers=1, snrs=(10.0,), cbr=Fraction(1, 2), notes=None):
    config = SweepConfig(
        snrs, (cbr,), schemes, images=str(images), lpips="none", workers=workers, realisations=1, channels=("awgn",)
    )
    return run_sweep(config, Path(out), notify=(notes if notes is not None else []).append)


def ramp(height=64, width=64):
    """A smooth picture [1, 3, H, W] whose mean is 1/2."""
    rows = torch.linspace(0.1, 0.9, height)[:, None]
    columns = torch.linspace(0.9, 0.1, width)
    return torch.stack([(rows + columns) / 2, rows.expand(height, width), columns.expand(height, width)])[None]


# --- docs/extend.md ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_the_guide_shows_the_examples_as_they_are(example):
    assert f"```python\n{example.read_text()}```" in GUIDE.read_text()


def test_the_guides_schemes(here):
    """The analog scheme degrades gracefully; the network's weights tell it apart, and the file that it reads."""
    shutil.copy(EXAMPLES / "analog.py", here)
    shutil.copy(EXAMPLES / "network.py", here)
    scheme = load_scheme("torch:analog.py:Analog")
    image = ramp(60, 100)
    quality = []
    for snr_db in (0.0, 10.0, 20.0):
        trip = transmit(scheme, image, Fraction(1, 16), load_channel("awgn"), snr_db)
        quality.append(psnr_db(to_uint8(trip.decoded.images[0]), to_uint8(image[0])))
        assert trip.ledgers[0].total == 60 * 100 * 3 // 16
    assert quality == sorted(quality)
    assert quality[-1] > 30
    network = load_scheme("torch:network.py:Network")
    assert network.supports(Fraction(1, 16)) is None
    assert network.supports(Fraction(1, 17)) is not None
    torch.save(network._codec.state_dict(), here / "net.pt")
    trained = load_scheme("torch:network.py:Network:net.pt")
    assert (
        trained.fingerprint() == load_scheme("torch:network.py:Network:net.pt").fingerprint() != network.fingerprint()
    )
    sent = [one.encode(image, 3000, _state()).symbols[0] for one in (network, trained)]
    assert torch.equal(*sent)


def test_the_guides_keras_models_and_command(here, photographs, capsys):
    blocks = re.findall(r"```(python|bash)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (source,) = (text for kind, text in blocks if kind == "python" and "import keras" in text)
    (command,) = (text for kind, text in blocks if kind == "bash" and "keras:encoder" in text)
    exec(compile(source, str(GUIDE), "exec"), {})
    shutil.copytree(photographs, here / "photos")
    smaller = ["--crop", "32", "--lpips", "none", "--workers", "1"]
    assert main([*shlex.split(command)[3:], *smaller]) == 0
    printed = capsys.readouterr().out
    assert "keras:encoder.keras,decoder.keras" in printed
    assert "deepjscc" in printed


# --- torch:FILE.py:CLASS ----------------------------------------------------------------------------------------------


def test_a_changed_file_never_shares_rows(here, photographs):
    file, spec, notes = here / "pixels.py", "torch:pixels.py:Pixels", []
    file.write_text(PIXELS)
    first = sweep(spec, images=photographs, snrs=(10.0, 20.0), notes=notes)
    assert len(first.rows) == first.planned == 8
    assert {row.scheme for row in first.rows} == {spec}
    assert notes == ["no MS-SSIM for 4 of 4 images: it needs sides of at least 161 pixels"]

    file.write_text(PIXELS + "\n# changed\n")
    second = sweep(spec, images=photographs, snrs=(10.0, 20.0))
    assert {row.key for row in first.rows}.isdisjoint(row.key for row in second.rows)

    file.write_text(PIXELS)
    notes = []
    third = sweep(spec, images=photographs, snrs=(10.0, 20.0), notes=notes)
    assert notes[0] == "8 of 8 rows are finished already"
    assert third.rows == first.rows


def test_the_fingerprint_covers_modules_beside_the_file_options_and_weights(here):
    def fingerprint(spec):
        return load_scheme(spec).fingerprint()

    for folder, size in (("a", 3), ("b", 5)):
        (here / folder / "models").mkdir(parents=True)
        (here / folder / "models" / "__init__.py").write_text("")
        (here / folder / "models" / "parts.py").write_text(f"SIZE = {size}\n")
        (here / folder / "codec.py").write_text(
            "import torch\nfrom models.parts import SIZE\nfrom simulator.codecs import SymbolCodec\n"
            "class Net(torch.nn.Module, SymbolCodec):\n"
            "    def __init__(self, fill='1'):\n"
            "        super().__init__()\n"
            "        self.bias = torch.nn.Parameter(torch.full((SIZE,), float(fill)))\n"
            "    def encode(self, images, snr_db): return images\n"
            "    def decode(self, symbols, snr_db, noise_variance, size): return symbols.real\n"
        )
    before = {spec: fingerprint(spec) for spec in ("torch:a/codec.py:Net", "torch:b/codec.py:Net")}
    assert len(set(before.values())) == 2
    assert fingerprint("torch:a/codec.py:Net:1") == before["torch:a/codec.py:Net"]  # the name tells them apart
    assert fingerprint("torch:a/codec.py:Net:2") != before["torch:a/codec.py:Net"]
    (here / "a" / "models" / "parts.py").write_text("SIZE = 3  # still\n")
    assert fingerprint("torch:a/codec.py:Net") != before["torch:a/codec.py:Net"]
    assert fingerprint("torch:b/codec.py:Net") == before["torch:b/codec.py:Net"]
    assert load_scheme("deepjscc").name == "deepjscc"  # its package `models` is the program's own


DROPOUT = """
import numpy as np
import torch
from simulator.codecs import SymbolCodec

class Sure(SymbolCodec):
    stride = 4
    def __init__(self):
        self.nets = {"first": [torch.nn.Sequential(torch.nn.Dropout(0.5))]}
    def encode(self, images, snr_db): return self.nets["first"][0](images)
    def decode(self, symbols, snr_db, noise_variance, size): return torch.zeros(len(symbols), 3, *size)

class InAnArray(Sure):
    def __init__(self):
        super().__init__()
        self.nets = np.array([self.nets], dtype=object)
    def encode(self, images, snr_db): return self.nets[0]["first"][0](images)

class Outer(torch.nn.Module, Sure):
    def __init__(self):
        super().__init__()
        Sure.__init__(self)
"""


@pytest.mark.parametrize("name", ["Sure", "InAnArray", "Outer"])
def test_networks_are_evaluated_not_trained_wherever_they_are_kept(here, name):
    """Dropout that is still on would send other symbols every time, and half of them zero."""
    (here / "sure.py").write_text(DROPOUT)
    scheme = load_scheme(f"torch:sure.py:{name}")
    symbols = scheme.encode(torch.rand(1, 3, 32, 32), 10**4, LinkState("awgn", 10.0)).symbols[0]
    assert (symbols == 0).float().mean() < 0.01


HOLDER = """
import numpy as np
import torch
from simulator.codecs import SymbolCodec

class Holder(SymbolCodec):
    def __init__(self, file):
        values = torch.load(file)
        {held}
    def encode(self, images, snr_db): return images
    def decode(self, symbols, snr_db, noise_variance, size): return symbols.real

class Net(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = torch.nn.Parameter(value)

class Hidden(torch.nn.Module):
    def __init__(self, values):
        super().__init__()
        self.net = Net(torch.ones(2))
        {hidden}

class Whole(torch.nn.Module, Holder):
    def __init__(self, file):
        super().__init__()
        Holder.__init__(self, file)
"""
HELD = {
    "a network per SNR": "self.nets = {5: Net(values[0]), 10: Net(values[1])}",
    "a list": "self.nets = [Net(values[0]), Net(values[1])]",
    "nested": "self.nets = {'a': ([Net(values[0])], {1: Net(values[1])})}",
    "tensors": "self.first, self.second = values[0], values[1]",
    "arrays": "self.tables = (values[0].numpy(), values[1].numpy())",
    "objects": "self.table = np.array([values[0], None, values[1]], dtype=object)[::2]",
    "of other kinds": "self.t = [values[0].to_sparse(), torch.complex(*values).conj(), values[1].bfloat16()]",
    "beside a network": "self.net = Net(values[0]); self.scales = {'mean': values[1]}",
    "in a module": "self.net = Hidden(values)",
    "in a network per SNR": "self.nets = {5: Hidden(values)}",
}
HIDDEN = {
    "a tensor": "self.values = values",
    "a list of networks": "self.nets = [Net(values[0]), Net(values[1])]",
    "a buffer": "self.register_buffer('first', values[0], persistent=False); self.second = values[1].numpy()",
}


@pytest.mark.parametrize(
    ("kind", "held", "hidden"),
    [
        *(("Holder", held, HIDDEN["a tensor"]) for held in HELD.values()),
        *(("Holder", HELD["in a module"], hidden) for hidden in HIDDEN.values()),
        *(("Whole", held, HIDDEN["a list of networks"]) for held in HELD.values()),
    ],
)
def test_weights_are_told_apart_wherever_a_codec_holds_them(here, kind, held, hidden):
    (here / "holder.py").write_text(HOLDER.format(held=held, hidden=hidden))

    def fingerprint(*values):
        torch.save(torch.tensor(values), here / "weights.pt")
        return load_scheme(f"torch:holder.py:{kind}:weights.pt").fingerprint()

    first = fingerprint([1.0, 0.0], [2.0, 0.0])
    assert fingerprint([1.0, 0.0], [2.0, 0.0]) == first
    others = [fingerprint([2.0, 0.0], [1.0, 0.0]), fingerprint([1.0, 0.0], [2.0, 1.0]), fingerprint([3.0, 0.0], [2, 0])]
    assert len({first, *others}) == 4


@pytest.mark.parametrize(
    "held",
    [
        "self.me = [values]; self.me.append(self.me)",
        "self.nets = {name: Net(values[0]) for name in {'a', 'b', 'c', 'd', 'e'}}",  # ordered by the seed of hashes
        "self.nets = {object(): values}; self.call = [print, object()]",
    ],
)
def test_what_differs_between_processes_is_no_part_of_the_fingerprint(here, held):
    (here / "holder.py").write_text(HOLDER.format(held=held, hidden="pass"))
    torch.save(torch.ones(2, 2), here / "weights.pt")
    told = (
        "from simulator.link import load_scheme; print(load_scheme('torch:holder.py:Holder:weights.pt').fingerprint())"
    )
    path = os.pathsep.join([str(GUIDE.parents[1]), os.environ.get("PYTHONPATH", "")])
    other = subprocess.run(
        [sys.executable, "-c", told],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == load_scheme("torch:holder.py:Holder:weights.pt").fingerprint()


def test_weights_that_nest_too_deeply_are_refused(here):
    held = "self.nets = values\n        for _ in range(40): self.nets = [self.nets]"
    (here / "holder.py").write_text(HOLDER.format(held=held, hidden="pass"))
    torch.save(torch.ones(2, 2), here / "weights.pt")
    with pytest.raises(UserError, match="nested deeper than 16"):
        load_scheme("torch:holder.py:Holder:weights.pt")


@pytest.mark.parametrize("channel", ["awgn", "rayleigh-fast"])
def test_a_codec_is_scaled_billed_and_equalised(here, channel):
    (here / "pixels.py").write_text(PIXELS)
    scheme = load_scheme("torch:pixels.py:Pixels:3")
    images = torch.cat([ramp(), ramp().flip(3) * 0.5])
    trip = transmit(scheme, images, Fraction(1, 2), load_channel(channel), 70.0)
    for symbols, ledger in zip(trip.transmission.symbols, trip.ledgers, strict=True):
        assert float(symbols.abs().square().mean()) == pytest.approx(1, abs=1e-5)
        assert (ledger.payload, ledger.padding) == (6144, 0)
    assert float((trip.decoded.images[0] - images[0]).abs().mean()) < 0.003  # the ramp's mean is known
    trip.reception.save(here / "air.safetensors")
    again = load_scheme(scheme.name).decode(Reception.load(here / "air.safetensors"))
    assert torch.equal(again.images, trip.decoded.images)


def test_padding_is_billed_and_cropped(here):
    (here / "pixels.py").write_text(PIXELS)
    scheme = load_scheme("torch:pixels.py:Pixels")
    with pytest.raises(UserError, match=r"sends 1152 symbols for an image of 27x20 \(padded to 32x24: .*810 are"):
        transmit(scheme, ramp(20, 27), Fraction(1, 2), load_channel("awgn"), 10.0)
    sent = scheme.encode(ramp(20, 27), 2000, None or _state())
    assert sent.ledgers[0].payload == round(1152 * 20 * 27 / (24 * 32))
    assert sent.ledgers[0].total == len(sent.symbols[0]) == 1152
    assert scheme.supports(Fraction(1, 2)) is None
    assert scheme.supports(Fraction(1, 3)) == "it sends 6144 symbols for an image of 64x64; ask for CBR 1/2 or more"


def _state():
    from simulator.link import LinkState

    return LinkState("awgn", 10.0)


SCHEME = """
import torch
from simulator.link import Decoded, SymbolLedger, Transmission

class Own:
    def fingerprint(self):
        return "1"

    def encode(self, images, budget, state):
        count = {count}
        return Transmission([{symbols} for _ in images], [SymbolLedger(count) for _ in images])

    def decode(self, reception):
        return Decoded(torch.zeros(len(reception.received), 3, *reception.image_size) {shown}, [False])
"""
GOOD = {"count": "budget", "symbols": "torch.ones(count, dtype=torch.complex64)", "shown": ""}
CODEC = """
import torch
from simulator.codecs import SymbolCodec

class Own(SymbolCodec):
    def encode(self, images, snr_db):
        return {encode}

    def decode(self, symbols, snr_db, noise_variance, size):
        return {decode}
"""
FINE = {"encode": "images[:, :, ::4, ::4]", "decode": "torch.zeros(1, 3, *size)"}

BROKEN = {
    "no class": ("", "torch:own.py", "names no class; write torch:FILE.py:CLASS"),
    "no file": ("", "torch:other.py:Own", "cannot read 'other.py': No such file"),
    "another class": ("class A: pass\nclass B: pass", "", "'own.py' has no class 'Own'; it has: A, B"),
    "a function": ("def Own(): pass", "", "has no class 'Own'; it has: none"),
    "syntax": ("import torch\n\nclass Own\n", "", "'own.py:3' is no Python: expected ':'"),
    "null bytes": ("a = 1\0", "", "'own.py' is no Python"),
    "missing library": ("x = 1\nimport nonesuch_library", "", "No module named 'nonesuch_library' (own.py:2)"),
    "error at import": ("1 / 0", "", "cannot be imported: ZeroDivisionError: division by zero (own.py:1)"),
    "a script": ("raise SystemExit(1)", "", "ends the program when imported"),
    "no encode": ("class Own:\n def decode(self, r): pass", "", "class Own lacks the method encode that a scheme has"),
    "no fingerprint": (
        "class Own:\n def encode(self, a, b, c): 1\n def decode(self, r): 1",
        "",
        "class Own lacks the method fingerprint that a scheme has",
    ),
    "abstract": (
        "from simulator.codecs import SymbolCodec\nclass Own(SymbolCodec):\n def encode(self, a, b): pass",
        "",
        "class Own lacks the method decode that a codec has",
    ),
    "few arguments": (
        SCHEME.format(**GOOD).replace("images, budget, state", "images, snr_db"),
        "",
        "Own.encode does not take 3 arguments; a codec without budget and bill derives from simulator.codecs.Symbol",
    ),
    "unknown option": (SCHEME.format(**GOOD), "torch:own.py:Own:a=1", "Own does not take the options given (a=1)"),
    "error in init": (
        SCHEME.format(**GOOD) + "\n    def __init__(self):\n        raise KeyError('w')\n",
        "",
        "Own cannot be made: KeyError: 'w' (own.py:17)",
    ),
    "power": (SCHEME.format(**GOOD | {"symbols": "2 * torch.ones(count) + 0j"}), "", "mean symbol power is 4.00000"),
    "dtype": (SCHEME.format(**GOOD | {"symbols": "torch.ones(count)"}), "", "must be complex64 [K] on the CPU, got"),
    "too many": (SCHEME.format(**GOOD | {"count": "budget + 1"}), "", "sent 577 symbols with a budget of 576"),
    "nan": (
        SCHEME.format(**GOOD | {"symbols": "torch.full((count,), torch.nan + 0j)"}),
        "",
        "mean symbol power is nan",
    ),
    "nan shown": (SCHEME.format(**GOOD | {"shown": "/ 0"}), "", "decoded images must be finite"),
    "codec nan": (CODEC.format(**FINE | {"encode": "images / 0"}), "", "symbols that are not finite"),
    "codec shape": (CODEC.format(**FINE | {"decode": "torch.zeros(1, 3, 8, 8)"}), "", "not (1, 3, 8, 8)"),
    "codec type": (CODEC.format(**FINE | {"encode": "images.numpy()"}), "", "complex tensor, not ndarray"),
    "codec whole": (CODEC.format(**FINE | {"encode": "images.int()"}), "", "complex tensor, not torch.int32"),
    "codec odd": (CODEC.format(**FINE | {"encode": "images[:, 0, 0, :3]"}), "", "2 k reals or k complex per image"),
    "codec error": (CODEC.format(**FINE | {"encode": "images @ images[..., :3]"}), "", "encode failed: RuntimeError: "),
    "codec greedy": (CODEC.format(**FINE | {"encode": "images"}), "", "cannot run at CBR 1/8: it sends 6144 symbols"),
}


@pytest.mark.parametrize(("source", "spec", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_with_a_file_is_one_line(here, photographs, capfd, source, spec, message):
    (here / "own.py").write_text(source)
    spec = spec or "torch:own.py:Own"
    picture = str(photographs / "p0.png")
    line = refused(capfd, "transmit", picture, "--scheme", spec, "--cbr", "1/8", "--lpips", "none")
    assert message in line
    assert "own.py" in line or "other.py" in line


# --- metrics ----------------------------------------------------------------------------------------------------------


def gmsd(first, second):
    """The definition (Xue et al. 2014, eq. 1-6) on uint8 pixels, with SciPy."""
    from scipy.ndimage import correlate

    maps = []
    for pixels in (first, second):
        grey = pixels.astype(float) @ (0.299, 0.587, 0.114)
        height, width = (side // 2 * 2 for side in grey.shape)
        halved = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
        across = np.array([[1, 0, -1]] * 3) / 3
        maps.append(np.hypot(*(correlate(halved, kernel, mode="constant") for kernel in (across, across.T))))
    similarity = (2 * maps[0] * maps[1] + 170) / (maps[0] ** 2 + maps[1] ** 2 + 170)
    return similarity.std()


def test_a_metric_of_ones_own_is_a_column_with_an_interval(here, photographs, capsys):
    for name in ("analog.py", "gmsd.py"):
        shutil.copy(EXAMPLES / name, here)
    metric, scheme = load_metric("torch:gmsd.py:Gmsd"), load_scheme("torch:analog.py:Analog")
    image = ramp(50, 70)
    shown = transmit(scheme, image, Fraction(1, 16), load_channel("awgn"), 10.0).decoded.images[0]
    pixels = to_uint8(image[0]), to_uint8(shown)
    assert float(metric.measure(*map(to_float, pixels))) == pytest.approx(gmsd(*pixels), abs=1e-5)
    assert float(metric.measure(image[0], image[0])) == 0

    grid = ["--snr", "5,15", "--images", str(photographs), "--lpips", "none", "--workers", "1"]
    command = ["sweep", "--scheme", "torch:analog.py:Analog", *grid]
    assert main(command) == 0
    before = load_results(Path("sweep-results")).rows
    assert main([*command, "--metric", "torch:gmsd.py:Gmsd"]) == 0
    rows = load_results(Path("sweep-results")).rows
    assert {row.key for row in before}.isdisjoint(row.key for row in rows)
    assert [replace(row, key="", further=None, encode_s=0, decode_s=0) for row in rows] == [
        replace(row, key="", encode_s=0, decode_s=0) for row in before
    ]
    capsys.readouterr()
    assert main(["show", "sweep-results", "--rows", "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    summary = list(csv.DictReader(io.StringIO(Path("sweep-results/summary.csv").read_text())))
    for point in summary:
        values = [float(row["gmsd"]) for row in table if row["snr_db"] == point["snr_db"]]
        assert float(point["gmsd"]) == pytest.approx(sum(values) / 4)
        assert float(point["gmsd_lo"]) < float(point["gmsd"]) < float(point["gmsd_hi"])
    assert float(summary[0]["gmsd"]) > float(summary[1]["gmsd"])  # less noise, smaller deviation
    assert list(Path("sweep-results/figures").glob("gmsd-vs-snr-*.png"))
    assert main(["show", "sweep-results"]) == 0
    assert "gmsd" in capsys.readouterr().out
    # without it again: the rows of before, and no figure that they do not show
    assert main(command) == 0
    assert load_results(Path("sweep-results")).rows == before
    assert main(["plot", "sweep-results"]) == 0


METRIC = """
class Own:
    name = {name!r}
    higher_is_better = False

    def fingerprint(self):
        return "1"

    def measure(self, reference, shown):
        return {value}
"""
BAD_METRICS = {
    "unknown": ("", "nonesuch", "unknown metric 'nonesuch'; known: dists, flip, lpips, ssimulacra2, torch"),
    "no direction": (
        METRIC.format(name="own", value="0").replace("higher_is_better = False", ""),
        "",
        "which direction is better",
    ),
    "no measure": ("class Own: pass", "", "class Own lacks the method measure that a metric has"),
    "name": (METRIC.format(name="My metric", value="0"), "", "is called 'My metric'; a name is small letters"),
    "taken": (METRIC.format(name="psnr_db", value="0"), "", "a column that already exists; rename it"),
    "raises": (METRIC.format(name="own", value="1 / 0"), "", "metric 'own' failed: ZeroDivisionError"),
    "nan": (METRIC.format(name="own", value="float('nan')"), "", "metric 'own' gave nan; it must give a finite"),
}


@pytest.mark.parametrize(("source", "spec", "message"), BAD_METRICS.values(), ids=BAD_METRICS)
def test_what_is_wrong_with_a_metric_is_one_line(here, photographs, capfd, source, spec, message):
    shutil.copy(EXAMPLES / "analog.py", here)
    (here / "own.py").write_text(source)
    grid = ["--snr", "5", "--images", str(photographs / "p0.png"), "--lpips", "none", "--workers", "1"]
    scheme = ["--scheme", "torch:analog.py:Analog", "--metric", spec or "torch:own.py:Own"]
    assert message in refused(capfd, "sweep", *scheme, *grid)


# --- keras:ENCODER.keras,DECODER.keras --------------------------------------------------------------------------------


def build(tag, side=None, snr=False, depth=8, flat=False, decoder_side=None, halves=False):
    """A pair that turns 8 x 8 blocks into their means, six reals of which three repeat the others, negated."""
    keras = import_keras()
    layers = keras.layers

    def mean(x):
        return layers.AveragePooling2D(depth)(x)

    picture = keras.Input((side, side, 3))
    code = layers.Concatenate()([mean(picture), layers.Rescaling(-1.0)(mean(picture))])
    inputs = [picture]
    if snr:
        inputs.append(keras.Input((1,)))
        scale = layers.Reshape((1, 1, 1))(layers.Rescaling(0.0, offset=1.0)(inputs[1]))
        code = layers.Multiply()([code, scale])
    shape = code.shape[1:]
    if flat:
        code = layers.Flatten()(code)
    keras.Model(inputs, code).save(f"encoder{tag}.keras")

    received = keras.Input(code.shape[1:])
    grid = layers.Reshape(shape)(received) if flat else received
    kernel = np.concatenate([np.eye(3), np.zeros((3, 3))])[None, None].astype("float32")
    first = layers.Conv2D(3, 1, use_bias=False, name="first")
    shown = layers.UpSampling2D(decoder_side or depth)(first(grid))
    model = keras.Model(received, shown)
    first.set_weights([kernel])
    model.save(f"decoder{tag}.keras")
    return f"keras:encoder{tag}.keras,decoder{tag}.keras"


def normalised(image, amplitude=1.0):
    """What the pair shows of an image without noise: its means, at mean power 1 per complex symbol."""
    means = torch.nn.functional.avg_pool2d(image, 8)
    shown = amplitude * means / (2 * means.square().mean()).sqrt()
    return torch.nn.functional.interpolate(shown, scale_factor=8).clamp(0, 1)


@pytest.mark.parametrize("kind", ["any size", "tiles", "flat tiles", "snr"])
def test_a_keras_pair_is_a_scheme(here, kind):
    options = {"any size": {}, "tiles": {"side": 32}, "flat tiles": {"side": 32, "flat": True}, "snr": {"snr": True}}
    scheme = load_scheme(build("", **options[kind]))
    assert os.environ.get("KERAS_BACKEND", "torch") in scheme.fingerprint()
    image = ramp(64, 96)
    trip = transmit(scheme, image, Fraction(1, 64), load_channel("awgn"), 60.0)
    assert trip.ledgers[0].payload == trip.ledgers[0].total == 3 * 8 * 12
    assert torch.allclose(trip.decoded.images, normalised(image), atol=0.01)
    assert scheme.supports(Fraction(1, 64)) is None
    assert "ask for CBR 1/64 or more" in scheme.supports(Fraction(1, 65))
    # a size that is no multiple of what the models take
    odd = scheme.encode(ramp(40, 60), 10_000, _state())
    tile = 32 if "side" in options[kind] else 8
    padded = (-(-40 // tile) * tile, -(-60 // tile) * tile)
    assert len(odd.symbols[0]) == 3 * padded[0] * padded[1] // 64
    share = 1 - 40 * 60 / (padded[0] * padded[1])
    assert odd.ledgers[0].padding == pytest.approx(odd.ledgers[0].total * share, abs=0.5)


def test_layout_and_power(here):
    spec = build("", side=32, flat=True)
    image = ramp(32, 32)
    specs = (spec, f"{spec}:layout=halves")
    beside, halves = (load_scheme(one).encode(image, 48, _state()).symbols[0] for one in specs)
    first, second = torch.view_as_real(beside).flatten().reshape(2, 48)
    assert torch.equal(torch.complex(first, second), halves)
    trip = transmit(load_scheme(f"{spec}:power=0.25"), image, Fraction(1, 64), load_channel("awgn"), 60.0)
    assert torch.allclose(trip.decoded.images, normalised(image, 0.5), atol=0.01)
    assert load_scheme(f"{spec}:power=1:layout=interleaved").name == spec


def test_a_keras_pair_sweeps_beside_others_in_worker_processes(here, photographs, capsys):
    """Also: commas in the name survive the command line, the summary and the figures."""
    spec = build("", side=16)
    shutil.copy(EXAMPLES / "analog.py", here)
    schemes = f"{spec},torch:analog.py:Analog"
    grid = ["--snr", "5,15", "--cbr", "1/16", "--images", str(photographs), "--crop", "32"]
    arguments = ["sweep", "--scheme", schemes, *grid, "--lpips", "none", "--json"]
    assert main([*arguments, "--workers", "2", "--out", "two"]) == 0
    two = json.loads(capsys.readouterr().out)
    assert main([*arguments, "--workers", "1", "--out", "one"]) == 0
    assert json.loads(capsys.readouterr().out) == two
    assert [point["scheme"] for point in two] == [spec] * 2 + ["torch:analog.py:Analog"] * 2
    assert {point["cbr"] for point in two if point["scheme"] == spec} == {1 / 64}
    assert (here / "two" / DATABASE).is_file()
    assert list((here / "two" / "figures").glob("psnr-vs-snr-*.png"))

    before = load_scheme(spec).fingerprint()
    other = build("other", side=16)
    assert load_scheme(spec).fingerprint() == before
    shutil.move(other.removeprefix("keras:").split(",")[0], "encoder.keras")
    assert load_scheme(spec).fingerprint() != before


def _lambda():
    keras = import_keras()
    picture = keras.Input((32, 32, 3))
    keras.Model(picture, keras.layers.Lambda(lambda x: x * 2)(picture)).save("lambda.keras")
    return "keras:lambda.keras,decoder.keras"


def _custom():
    keras = import_keras()

    class Secret(keras.layers.Layer):
        def call(self, x):
            return x

    picture = keras.Input((32, 32, 3))
    keras.Model(picture, Secret()(picture)).save("custom.keras")
    return "keras:custom.keras,decoder.keras"


def _two_outputs():
    keras = import_keras()
    picture = keras.Input((32, 32, 3))
    keras.Model(picture, [picture, picture]).save("two.keras")
    return "keras:two.keras,decoder.keras"


def _broken(name, content):
    Path(name).write_bytes(content)
    return f"keras:{name},decoder.keras"


def _not_keras(name="readme", content="no model"):
    with zipfile.ZipFile("zip.keras", "w") as archive:
        archive.writestr(name, content)
    return "keras:zip.keras,decoder.keras"


def _odd_names():
    return _not_keras("config.json", json.dumps({"class_name": "A", "module": "b", "registered_name": ["c"]}))


def _nan():
    keras = import_keras()
    received = keras.Input((4, 4, 6))
    grid = keras.layers.UpSampling2D(8)(
        keras.layers.Conv2D(3, 1, bias_initializer=keras.initializers.Constant(np.nan))(received)
    )
    keras.Model(received, grid).save("nan.keras")
    return "keras:encoder.keras,nan.keras"


def _pair(encoder, decoder):
    return f"keras:encoder{encoder}.keras,decoder{decoder}.keras"


KERAS_BROKEN = {
    "one file": (lambda: "keras:encoder.keras", "names no pair of models; write keras:ENCODER.keras,DECODER.keras"),
    "nothing": (lambda: "keras", "names no pair of models"),
    "h5": (lambda: "keras:encoder.h5,decoder.h5", "other formats are not read"),
    "missing": (lambda: "keras:encoder.keras,other.keras", "cannot read 'other.keras': No such file"),
    "text": (lambda: _broken("text.keras", b"hello"), "'text.keras' is no Keras 3 file"),
    "another zip": (_not_keras, "'zip.keras' is no Keras 3 file"),
    "deep": (lambda: _not_keras("config.json", "[" * 100_000), "'zip.keras' is no Keras 3 file"),
    "odd names": (_odd_names, "has a custom object '['c']' that is not registered"),
    "lambda": (_lambda, "'lambda.keras' has a Lambda layer"),
    "custom": (_custom, "that is not registered; register it with keras.saving.register_keras_serializable"),
    "outputs": (_two_outputs, "has 1 inputs and 2 outputs"),
    "option": (
        lambda: _pair("", "") + ":layout=odd",
        "layout=odd is not allowed; give layout as interleaved or halves",
    ),
    "unknown option": (lambda: _pair("", "") + ":a=1", "has no option 'a=1'; known: layout=, power="),
    "swapped": (lambda: "keras:decoder.keras,encoder.keras", "an encoder takes pictures as (None, H, W, 3)"),
    "strangers": (lambda: _pair("", "flat16"), "the two must belong together"),
    "size": (lambda: _pair("", "small"), "gives pictures of shape (16, 16, 3), 'encoder.keras' takes (32, 32, 3)"),
    "any size": (lambda: build("half", decoder_side=4), "the pair must give back what it got"),
    "nan": (_nan, "decoded images must be finite"),
    "greedy": (lambda: _pair("", "") + ":power=2", "cannot run at CBR 1/100: it sends 192 symbols"),
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder with a few pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        build("", side=32)
        build("flat16", side=16, flat=True)
        build("small", side=32, decoder_side=4)
    return folder


@pytest.mark.parametrize(("make", "message"), KERAS_BROKEN.values(), ids=KERAS_BROKEN)
def test_what_is_wrong_with_a_pair_is_one_line(pairs, photographs, monkeypatch, capfd, make, message):
    monkeypatch.chdir(pairs)
    arguments = ["--cbr", "1/100" if "1/100" in message else "1/8", "--lpips", "none"]
    assert message in refused(capfd, "transmit", str(photographs / "p0.png"), "--scheme", make(), *arguments)


def test_custom_layers_come_from_a_file_of_the_users(here):
    keras = import_keras()
    (here / "layers.py").write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable(package='mine')\n"
        "class Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x * 2\n"
    )
    build("", side=32)
    from simulator.codecs.files import run_file

    run_file(here / "layers.py")
    twice = keras.saving.get_registered_object("mine>Twice")
    picture = keras.Input((32, 32, 3))
    model = keras.saving.load_model("encoder.keras", compile=False)
    keras.Model(picture, model(twice()(picture))).save("encoder.keras")
    keras.saving.get_custom_objects().clear()
    with pytest.raises(UserError, match="custom object 'mine>Twice' that is not registered"):
        load_scheme("keras:encoder.keras,decoder.keras")
    scheme = load_scheme("keras:encoder.keras,decoder.keras:layers=layers.py")
    image = ramp(32, 32)
    trip = transmit(scheme, image, Fraction(1, 64), load_channel("awgn"), 60.0)
    assert torch.allclose(trip.decoded.images, normalised(image), atol=0.01)


def test_random_weights_without_a_seed_are_refused(here, photographs, capfd):
    """They would be another codec in every process, under one name."""
    source = (EXAMPLES / "network.py").read_text().replace("        torch.manual_seed(0)", "        pass")
    (here / "network.py").write_text(source)
    grid = ["--snr", "5", "--images", str(photographs / "p1.png"), "--lpips", "none", "--workers", "1"]
    line = refused(capfd, "sweep", "--scheme", "torch:network.py:Network", *grid)
    assert "is not the one that the sweep began with" in line


def test_without_keras_the_line_to_install_it(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(UserError, match=r"Keras is not installed .*pip install -e '\.\[keras\]'"):
        import_keras()
