"""The Python front door: many kinds of pictures, one line per mistake, nothing heavy on import."""

import re
import subprocess
import sys
from decimal import Context, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

import simulator
from simulator import load_channel, load_image, load_results, load_scheme, send, sweep
from simulator.errors import UserError
from simulator.spec.grids import parse_snr, parse_snrs

PIXELS = np.random.default_rng(0).integers(60, 190, (64, 48, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).resize((96, 64)).save(path)
    return path


def test_every_kind_of_picture_is_the_same_picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    expected = torch.from_numpy(PIXELS).permute(2, 0, 1).float() / 255
    kinds = [path, str(path), Image.fromarray(PIXELS), PIXELS, torch.from_numpy(PIXELS), expected, expected.double()]
    for kind in [*kinds, PIXELS / 255, PIXELS.transpose(2, 0, 1)]:
        assert torch.allclose(load_image(kind), expected, atol=1e-7)
    assert load_image(PIXELS[None]).shape == (1, 3, 64, 48)
    assert load_image(PIXELS[..., 0]).shape == (3, 64, 48)


def test_an_opened_picture_is_read_as_its_file_is(tmp_path):
    """Whatever its depth, transparency and orientation; one that was made from it is taken as it is."""
    image, level = Image.fromarray(PIXELS), PIXELS[0, 0, 0]
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    half = image.convert("RGBA")
    half.putalpha(128)
    half.save(tmp_path / "alpha.png")
    image.quantize(16).save(tmp_path / "palette.png", transparency=bytes(16))
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "level.png", transparency=int(level))
    for path in sorted(tmp_path.glob("*.png")):
        opened = Image.open(path)
        for _ in range(2):
            assert torch.equal(load_image(opened), load_image(path)), path.name
    assert load_image(tmp_path / "palette.png").min() == 1
    assert load_image(Image.open(tmp_path / "turned.png")).shape == (3, 48, 64)
    assert load_image(Image.open(tmp_path / "turned.png").crop((0, 0, 48, 64))).shape == (3, 64, 48)
    assert torch.equal(load_image(half), load_image(tmp_path / "alpha.png"))


def test_arrays_of_any_byte_order_and_sparse_tensors_are_pictures():
    expected = load_image(PIXELS)
    assert torch.equal(load_image((PIXELS / np.float32(255)).astype(">f4")), expected)
    assert torch.equal(load_image(expected.to_sparse()), expected)


def test_a_grid_does_not_depend_on_the_precision_of_decimals_that_others_chose():
    expected = parse_snrs("10:11:0.125"), parse_snr("12.345678")
    assert expected[0][1] == 10.125
    with localcontext(Context(prec=2)):
        assert (parse_snrs("10:11:0.125"), parse_snr("12.345678")) == expected


def _choose_settings_of_torch(photo):
    def trips():
        return [send(str(photo), scheme, cbr="1/12").psnr_db for scheme in ("bpg-ldpc", "deepjscc")]

    def settings():
        return torch.get_default_dtype(), torch.get_default_device(), torch.get_float32_matmul_precision()

    expected = trips()
    for choose, default in [
        (torch.set_default_dtype, (torch.float64, torch.float32)),
        (torch.set_default_device, ("meta", "cpu")),
        (torch.set_float32_matmul_precision, ("medium", "highest")),
    ]:
        choose(default[0])
        chosen = settings()
        assert trips() == expected, choose
        assert settings() == chosen, choose
        choose(default[1])
    with torch.autocast("cpu", torch.bfloat16):
        assert trips() == expected, "autocast"


def test_settings_of_torch_that_a_notebook_chose_change_no_number(photo, elsewhere):
    """One after the other in a process of its own, where they harm no other test."""
    elsewhere(_choose_settings_of_torch, photo)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": Image.new("CMYK", (32, 32))}, "image: pixel format CMYK is not supported"),
        ({"image": Image.new("F", (32, 32))}, "image: pixel format F is not supported"),
        ({"image": np.zeros((32, 32, 3), dtype=object)}, "image of type object and shape"),
        ({"image": torch.zeros(3, 32, 32, device="meta")}, "image of shape .* holds no values"),
        ({"image": torch.zeros(0, 3, 32, 32)}, "image of shape .* holds no values"),
        ({"image": 3}, "image=int is not a picture"),
        ({"image": np.zeros((4, 4, 3))}, "image has the shape"),
        ({"image": 255.0 * np.ones((32, 32, 3))}, "image has values outside"),
        ({"image": np.zeros((32, 32, 3), dtype=np.int64)}, "image has values of type"),
        ({"cbr": 2}, "cbr=2: "),
        ({"cbr": "a"}, "cbr='a': "),
        ({"snr_db": "ten"}, "snr_db='ten' is not a number of dB from -100 to 100"),
        ({"scheme": "nonesuch"}, "unknown scheme 'nonesuch'"),
        ({"channel": "nonesuch"}, "unknown channel 'nonesuch'"),
    ],
)
def test_mistakes_name_the_argument(arguments, words):
    with pytest.raises(UserError, match=words) as refusal:
        send(**{"image": PIXELS} | arguments)
    assert "\n" not in str(refusal.value)


def test_a_picture_is_sent_and_shown(photo):
    results = [send(photo, "bpg-capacity", snr_db=10, cbr=cbr) for cbr in ("1/16", 0.0625, Fraction(1, 16))]
    assert len({one.psnr_db for one in results}) == 1
    assert repr(results[0]).startswith("Received(96x64, bpg-capacity over awgn at 10 dB: ")
    assert results[0].to_pil().size == (96, 64)
    html = results[0]._repr_html_()
    assert "data:image/png;base64," in html
    assert "PSNR" in html
    batch = send(torch.stack([load_image(photo)] * 2), load_scheme("bpg-capacity"), load_channel("awgn"))
    assert [one.psnr_db for one in batch] == [results[0].psnr_db] * 2


def test_a_grid_from_python(photo, tmp_path):
    results = sweep([0, 10], out=tmp_path / "run", schemes="bpg-capacity", images=photo, workers=1, lpips="none")
    assert repr(results) == f"Results('{tmp_path / 'run'}': 2 of 2 rows of bpg-capacity)"
    assert load_results(tmp_path / "run").rows == results.rows
    assert (tmp_path / "run" / "summary.csv").is_file()
    with pytest.raises(UserError, match="speling is not an argument of sweep"):
        sweep("0", out=tmp_path / "run", speling=1)


def test_without_pandas_one_line_says_so(photo, tmp_path, monkeypatch):
    results = sweep(0, out=tmp_path / "run", schemes="bpg-capacity", images=photo, workers=1, lpips="none")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        results.to_pandas()


def test_import_is_instant():
    code = "import sys, simulator; assert not {'torch', 'numpy', 'matplotlib'} & sys.modules.keys(); dir(simulator)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(simulator.__all__) <= set(dir(simulator))
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = simulator.nonesuch


@pytest.mark.parametrize("name", ["bpg-ldpc:16qam-1/2", "bpg-capacity", "deepjscc", "lrisc:gamma=0"])
def test_schemes_show_their_name(name):
    assert repr(load_scheme(name)).endswith(f"('{name}')")


@pytest.mark.parametrize("name", ["awgn", "rician:K=6", "tdl-c:csi=lmmse", "mimo", "awgn:adc_bits=6"])
def test_channels_show_their_name(name):
    channel = load_channel(name)
    assert repr(channel) == f"{type(channel).__name__}('{channel.name}')"


def test_a_trip_shows_shapes_instead_of_tensors():
    from simulator.link.delivery import deliver

    scheme, channel = load_scheme("bpg-ldpc"), load_channel("rayleigh")
    delivery = deliver(scheme, load_image(PIXELS)[None], Fraction(1, 6), channel, 10.0)
    text = repr(delivery)
    assert "images=float32[1, 3, 64, 48]" in text
    assert "symbols=complex64[1536]" in text
    assert len(text) < 1500
    assert "gain=complex64[8]" in repr(channel.realise(8, 10.0, 1))


def test_results_show_what_they_are_of(tmp_path):
    options = {"crop": 32, "lpips": "none", "progress": False, "schemes": "bpg-capacity"}
    results = sweep([0, 7.5], out=tmp_path / "grid", **options)
    page = results._repr_html_()
    for text in ("bpg-capacity", "awgn", "0, 7.5", "0.0625", "10 of 10", "chelsea"):
        assert text in page
    assert "faults" not in page


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"seed": "a"}, "seed='a' is not a whole number of at least 0"),
        ({"realisations": 0}, "realisations=0 is not a whole number of at least 1"),
        ({"limit": -1}, "limit=-1 is not a whole number of at least 1"),
        ({"crop": 1.5}, "crop=1.5 is not a whole number of at least 16"),
        ({"keep_images": "some"}, "keep_images='some' is none of none, best, all"),
        ({"metrics": "nosuch"}, "unknown metric 'nosuch'"),
        ({"cbr": []}, "cbr is empty"),
        ({"cbr": None}, "cbr=None: "),
        ({"precision": "int8"}, "precision='int8' is none of auto, fp32, bf16"),
        ({"executor": "xx"}, "executor 'xx'"),
        ({"device": "cuda:x"}, "device 'cuda:x' is no device"),
        ({"schemes": None}, "schemes=None is no text such as 'bpg-ldpc'"),
        ({"channels": [3]}, "channels=3 is no text"),
        ({"cbr": np.float32(2)}, "float32(2.0): "),
        ({"cbrs": ["1/16"]}, "did you mean 'cbr'?"),
        ({"snrs_db": (5.0,)}, "did you mean 'snr_db'?"),
    ],
)
def test_options_of_a_grid_are_held_to_what_the_command_line_takes(photo, tmp_path, option, said):
    with pytest.raises(UserError, match=re.escape(said)):
        sweep(5, **{"schemes": "bpg-ldpc", "images": photo, "out": tmp_path / "out", "lpips": "none"} | option)


def test_a_ratio_as_a_float_is_the_ratio_that_was_meant(photo):
    for ratio in (Fraction(1, 48), Fraction(1, 12), Fraction(3, 100)):
        assert len({send(photo, "bpg-capacity", cbr=cbr).cbr for cbr in (float(ratio), ratio)}) == 1


def test_sweep_is_there_without_an_import_of_its_own():
    command = [sys.executable, "-c", "import simulator; print(simulator.sweep)"]
    assert "simulator.sweep" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_draw_is_named_by_whole_numbers(photo):
    for wrong in ({"seed": 1.5}, {"realisation": -1}):
        with pytest.raises(UserError, match="is not a whole number of at least 0"):
            send(photo, **wrong)
