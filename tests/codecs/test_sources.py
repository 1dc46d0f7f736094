"""A user's image codec behind the digital link: the guide's example, and what is wrong with others."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from simulator.channels import load_channel
from simulator.errors import SchemeError, UserError
from simulator.images import load_image_set
from simulator.images.pixels import to_uint8
from simulator.link import LinkState, Reception, load_scheme, transmit
from simulator.metrics import psnr_db

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "dct.py"
IMAGE = load_image_set("samples", crop=80)[0].pixels[None][..., :75]  # not a multiple of 8
CBR, AWGN = Fraction(1, 4), load_channel("awgn")

BODY = """
import numpy as np
from simulator.source import SourceCodec

class Own(SourceCodec):
    name = "own"
    def __init__(self, scale="1"): self.weights = np.full(3, float(scale))
    def version(self): return "1"
    def encode(self, rgb, max_bytes): {encode}
    def decode(self, data, size): {decode}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the guide's example, and its own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    shutil.copy(EXAMPLE, tmp_path)
    return tmp_path


def own(encode: str = 'return b"abc"', decode: str = "return np.zeros((*size, 3), np.uint8)") -> None:
    Path("own.py").write_text(BODY.format(encode=encode, decode=decode))


def test_the_guides_codec_crosses_the_link_and_is_decoded_by_another_process() -> None:
    quality = []
    for spec in ("codec-ldpc:dct.py:Dct", "codec-capacity:dct.py:Dct"):
        trip = transmit(load_scheme(spec), IMAGE, CBR, AWGN, 12.0)
        assert trip.decoded.outage == [False]
        quality.append(psnr_db(to_uint8(IMAGE[0]), to_uint8(trip.decoded.images[0])))
        if trip.transmission is not None:
            trip.reception.save(Path("air.safetensors"))
            again = load_scheme(spec).decode(Reception.load(Path("air.safetensors")))
            assert again.images.equal(trip.decoded.images)
    assert 20 < quality[0] < quality[1]


def test_options_go_to_the_class_or_to_the_link() -> None:
    own()
    scheme = load_scheme("codec-ldpc:own.py:Own:4qam-1/2:2:decoder=sionna")
    assert scheme.name == "codec-ldpc:own.py:Own:2:4qam-1/2:decoder=sionna"
    assert load_scheme("codec-capacity:own.py:Own:2").name == "codec-capacity:own.py:Own:2"


def test_the_fingerprint_covers_the_file_and_the_weights() -> None:
    own()
    first, other, again = (load_scheme(f"codec-ldpc:own.py:Own:{scale}").fingerprint() for scale in (1, 2, 1))
    assert first == again != other
    own(encode='return b"abcd"')
    assert load_scheme("codec-ldpc:own.py:Own:1").fingerprint() != first


def test_a_changed_file_does_not_meet_the_encodes_of_the_old_one() -> None:
    image = to_uint8(IMAGE[0])
    first = load_scheme("codec-ldpc:dct.py:Dct")._codec.encode(image, 900)
    Path("dct.py").write_text(EXAMPLE.read_text().replace("by_frequency, 9)", "by_frequency[::-1], 9)"))
    assert load_scheme("codec-ldpc:dct.py:Dct")._codec.encode(image, 900) != first


def test_encodes_that_hang_on_a_file_which_only_methods_read_are_not_cached(here: Path) -> None:
    Path("dct.py").write_text(EXAMPLE.read_text().replace("return 512", "return float(open('step.txt').read())"))
    files = []
    for step in ("512", "700"):
        Path("step.txt").write_text(step)
        files.append(load_scheme("codec-ldpc:dct.py:Dct")._codec.encode(to_uint8(IMAGE[0]), 900))
    assert files[0] != files[1]
    assert not list((here / "cache").rglob("*.dct"))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("codec-ldpc", "'codec-ldpc' names no class; write codec-ldpc:FILE.py:CLASS"),
        ("codec-ldpc:none.py:Own", "cannot read 'none.py'"),
        ("codec-ldpc:own.py:Other", "has no class 'Other'; it has: Own"),
        ("codec-ldpc:dct.py:_step", "has no class '_step'"),
        ("codec-ldpc:own.py:Own:1:2", "Own does not take the options given"),
        ("codec-ldpc:own.py:Own:4qam-1/2:adaptation=genie", "leave out '4qam-1/2'"),
        ("codec-capacity:bare.py:Bare", "class Bare lacks the method encode that a source codec has"),
        ("codec-capacity:bare.py:Nameless", "Nameless has no name; give it a class attribute"),
    ],
)
def test_bad_specifications_are_explained_in_one_line(spec: str, said: str) -> None:
    own()
    methods = "def version(self): return ''\n def encode(self, rgb, n): pass\n def decode(self, data, size): pass"
    Path("bare.py").write_text(f"class Bare: pass\nclass Nameless:\n {methods}\n")
    with pytest.raises(UserError, match=said) as refusal:
        load_scheme(spec)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ({"encode": "return bytes(max_bytes + 1)"}, r"encode wrote \d+ bytes, \d+ were allowed"),
        ({"encode": "return 1 / 0"}, "encode failed: ZeroDivisionError: division by zero .*own.py:9"),
        ({"decode": "return rgb"}, "decode failed: NameError"),
        ({"decode": "return data"}, "decode must return uint8"),
    ],
)
def test_a_codec_that_fails_says_where(codec: dict[str, str], said: str) -> None:
    own(**codec)
    with pytest.raises(SchemeError, match=said):
        transmit(load_scheme("codec-ldpc:own.py:Own"), IMAGE, CBR, AWGN, 20.0)


def test_a_codec_that_cannot_fit_is_an_outage() -> None:
    sent = load_scheme("codec-ldpc:dct.py:Dct").encode(IMAGE, 60, LinkState("awgn", 10.0))
    assert sent.ledgers[0].payload == 0
    assert sent.symbols[0].isfinite().all()
