"""Codecs of a stranger from Python files, as docs/extend.md shows them."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images.pixels import to_uint8
from simulator.link import LinkState, Reception, load_scheme, transmit
from simulator.metrics import psnr_db
from simulator.sweep import run_sweep
from simulator.sweep.inputs import SweepConfig
from tests.codecs.own import EXAMPLES, GUIDE, STATE, ramp, refused

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


def sweep(*schemes, images, out="results", workers=1, snrs=(10.0,), cbr=Fraction(1, 2), notes=None):
    config = SweepConfig(
        snrs, (cbr,), schemes, images=str(images), lpips="none", workers=workers, realisations=1, channels=("awgn",)
    )
    return run_sweep(config, Path(out), notify=(notes if notes is not None else []).append)


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
    sent = [one.encode(image, 3000, STATE).symbols[0] for one in (network, trained)]
    assert torch.equal(*sent)


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


def _fingerprint():
    return load_scheme("torch:holder.py:Holder:weights.pt").fingerprint()


@pytest.mark.parametrize(
    "held",
    [
        "self.me = [values]; self.me.append(self.me)",
        "self.nets = {name: Net(values[0]) for name in {'a', 'b', 'c', 'd', 'e'}}",  # ordered by the seed of hashes
        "self.nets = {object(): values}; self.call = [print, object()]",
    ],
)
def test_what_differs_between_processes_is_no_part_of_the_fingerprint(here, held, elsewhere):
    (here / "holder.py").write_text(HOLDER.format(held=held, hidden="pass"))
    torch.save(torch.ones(2, 2), here / "weights.pt")
    assert elsewhere(_fingerprint) == _fingerprint()


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
    sent = scheme.encode(ramp(20, 27), 2000, STATE)
    assert sent.ledgers[0].payload == round(1152 * 20 * 27 / (24 * 32))
    assert sent.ledgers[0].total == len(sent.symbols[0]) == 1152
    assert scheme.supports(Fraction(1, 2)) is None
    assert scheme.supports(Fraction(1, 3)) == "it sends 6144 symbols for an image of 64x64; ask for CBR 1/2 or more"


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
    "frozen": (
        SCHEME.format(**GOOD).replace(
            "class Own", "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Own"
        ),
        "",
        "torch:own.py:Own: its 'name' cannot be set: FrozenInstanceError",
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
    "codec scalar": (CODEC.format(**FINE | {"encode": "images.mean()"}), "", "k complex per image, not ()"),
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


def test_random_weights_without_a_seed_are_refused(here, photographs, capfd):
    """They would be another codec in every process, under one name."""
    source = (EXAMPLES / "network.py").read_text().replace("        torch.manual_seed(0)", "        pass")
    (here / "network.py").write_text(source)
    grid = ["--snr", "5", "--images", str(photographs / "p1.png"), "--lpips", "none", "--workers", "1"]
    line = refused(capfd, "sweep", "--scheme", "torch:network.py:Network", *grid)
    assert "is not the one that the sweep began with" in line
