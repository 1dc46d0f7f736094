"""Keras models of a stranger as schemes; KERAS_BACKEND chooses the backend, here as for users."""

import json
import os
import re
import shlex
import shutil
import sys
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.__main__ import main
from simulator.channels import load_channel
from simulator.codecs.kerasnets import import_keras
from simulator.errors import UserError
from simulator.link import load_scheme, transmit
from simulator.results.store import DATABASE
from tests.codecs.own import EXAMPLES, GUIDE, STATE, ramp, refused

pytestmark = pytest.mark.usefixtures("light_pdfs")


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
    odd = scheme.encode(ramp(40, 60), 10_000, STATE)
    tile = 32 if "side" in options[kind] else 8
    padded = (-(-40 // tile) * tile, -(-60 // tile) * tile)
    assert len(odd.symbols[0]) == 3 * padded[0] * padded[1] // 64
    share = 1 - 40 * 60 / (padded[0] * padded[1])
    assert odd.ledgers[0].padding == pytest.approx(odd.ledgers[0].total * share, abs=0.5)


def test_layout_and_power(here):
    spec = build("", side=32, flat=True)
    image = ramp(32, 32)
    specs = (spec, f"{spec}:layout=halves")
    beside, halves = (load_scheme(one).encode(image, 48, STATE).symbols[0] for one in specs)
    first, second = torch.view_as_real(beside).flatten().reshape(2, 48)
    assert torch.equal(torch.complex(first, second), halves)
    trip = transmit(load_scheme(f"{spec}:power=0.25"), image, Fraction(1, 64), load_channel("awgn"), 60.0)
    assert torch.allclose(trip.decoded.images, normalised(image, 0.5), atol=0.01)
    assert load_scheme(f"{spec}:power=1:layout=interleaved").name == spec


@pytest.mark.usefixtures("quick_start")
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


def test_without_keras_the_line_to_install_it(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(UserError, match=r"Keras is not installed .*pip install -e '\.\[keras\]'"):
        import_keras()
