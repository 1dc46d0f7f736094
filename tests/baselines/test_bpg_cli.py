"""`bpg encode` and `bpg decode` as a person meets them."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulator.baselines import bpg
from simulator.baselines import bpg_verb as cli
from simulator.errors import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[0:40, 0:50]
    Image.fromarray(np.stack([4 * x, 5 * y, 2 * (x + y)], -1).astype(np.uint8)).save("in.png")
    return tmp_path


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli.configure(parser.add_subparsers(required=True))
    args = parser.parse_args(["bpg", *arguments])
    return args.run(args)


def test_there_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("encode", "in.png", "out.bpg", "--qp", "20", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    size = Path("out.bpg").stat().st_size
    assert report == {
        **{"file": "out.bpg", "width": 50, "height": 40, "chroma": "444", "qp": 20},
        **{"finer_groups": 0, "bytes": size, "bits_per_pixel": round(8 * size / 2000, 4)},
    }
    assert run("decode", "out.bpg", "out.png") == 0
    assert capsys.readouterr().out == "file out.png, width 50, height 40\n"
    decoded = np.asarray(Image.open("out.png")).astype(float)
    assert np.mean((decoded - np.asarray(Image.open("in.png"))) ** 2) < 10


def test_to_a_size() -> None:
    assert run("encode", "in.png", "out.bpg", "--max-bytes", "300", "--chroma", "420") == 0
    data = Path("out.bpg").read_bytes()
    assert len(data) <= 300
    assert bpg.read_header(data).pixel_format is bpg.PixelFormat.YUV420


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["encode", "in.png", "out.bpg", "--max-bytes", "20"], "QP 51: the coarsest file needs"),
        (["encode", "missing.png", "out.bpg"], "missing.png"),
        (["encode", "in.png", "in.png/out.bpg"], "cannot write"),
        (["encode", "in.png", "./in.png"], "is the file that is read"),
        (["decode", "in.png", "out.png"], "in.png: not a BPG file"),
        (["decode", "missing.bpg", "out.png"], "missing.bpg: cannot be read"),
        (["decode", ".", "out.png"], "cannot be read"),
        (["decode", "in.png", "out.jpg"], "ends in .png"),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing(arguments: list[str], reason: str, folder: Path) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
    assert Image.open("in.png").size == (50, 40)
    assert {path.name for path in folder.iterdir()} <= {"in.png", "cache"}


@pytest.mark.parametrize(
    "options", [["--qp", "52"], ["--qp", "x"], ["--max-bytes", "0"], ["--qp", "9", "--max-bytes", "9"]]
)
def test_bad_options_end_with_exit_2(options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("encode", "in.png", "out.bpg", *options)
    assert caught.value.code == 2


def test_configuring_imports_nothing_heavy() -> None:
    script = (
        "import sys, simulator.baselines.bpg_verb; print(sorted({'av', 'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_encoding_two_pictures_replaces_none() -> None:
    """`bpg encode *.png` names two pictures where there are two."""
    Image.new("RGB", (32, 32)).save("other.png")
    before = Path("other.png").read_bytes()
    code = "import sys; from simulator.__main__ import main; sys.exit(main(['bpg', 'encode', 'in.png', 'other.png']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "end in .bpg" in done.stderr
    assert Path("other.png").read_bytes() == before
