"""`kid` from the command line: a table, a file in the results folder, or one line."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.cli import kid
from simulator.metrics import features as networks
from simulator.metrics import inception
from simulator.metrics import kid as measure
from simulator.metrics.backbones import MIN_SIDE

ALEX = ["--features", "alex", "--patch", "64"]


@pytest.fixture
def folder(kept_results: Path, tmp_path: Path) -> str:
    """A copy of the results, to which files are added."""
    return str(shutil.copytree(kept_results, tmp_path / "results"))


def test_what_the_parser_says_is_what_is_measured() -> None:
    assert (kid.FEATURES, kid.PATCH, kid.MIN_PATCH) == (networks.KINDS, measure.PATCH, MIN_SIDE)


@pytest.mark.usefixtures("lpips_backbone_dir")
def test_table_file_and_json_agree(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kid", folder, *ALEX, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    with (Path(folder) / "kernel-distance-alex.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [list(record) for record in told]
    assert [float(row["kernel_distance_alex"]) for row in rows] == [one["kernel_distance_alex"] for one in told]
    assert not any("kid" in name for name in rows[0])
    assert {(row["images"], row["patches"], row["patch"], row["kernel_distance_alex_spread"]) for row in rows} == {
        ("3", "24", "64", "")
    }
    assert main(["kid", folder, *ALEX]) == 0
    printed = capsys.readouterr().out
    assert "(AlexNet) ↓" in printed
    assert all(f"{one['kernel_distance_alex']:.5f}" in printed for one in told)
    assert not (Path(folder) / "kid.csv").exists()


@pytest.mark.usefixtures("lpips_backbone_dir")
def test_it_grows_when_the_snr_falls(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kid", folder, *ALEX, "--json"]) == 0
    found = {(one["scheme"], one["snr_db"]): one["kernel_distance_alex"] for one in json.loads(capsys.readouterr().out)}
    for scheme in ("bpg-ldpc", "deepjscc"):
        assert found[scheme, 0] > found[scheme, 5] > found[scheme, 10] > 0


@pytest.mark.usefixtures("lpips_backbone_dir")
def test_it_fits_a_terminal(folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert main(["kid", folder, *ALEX]) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []
    assert any("(AlexNet) ↓" in line for line in lines)


@pytest.mark.usefixtures("lpips_backbone_dir")
def test_a_file_of_the_user_is_kept(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(folder) / "kernel-distance-alex.csv"
    path.write_text("mine")
    assert main(["kid", folder, *ALEX]) == 0
    assert "is kept as 'kernel-distance-alex.earlier-1.csv'" in capsys.readouterr().err
    assert path.with_name("kernel-distance-alex.earlier-1.csv").read_text() == "mine"
    assert main(["kid", folder, *ALEX]) == 0
    assert capsys.readouterr().err == ""
    assert len(list(Path(folder).glob("kernel-distance-alex*"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "smaller than a patch of 256"),
        (["--patch", "64", "--features", "alex", "--weights", "some.pth"], "does not apply to --features alex"),
        (["--patch", "64", "--features", "alex", "--device", "cuda:99"], "'cuda:99' does not exist"),
    ],
)
def test_bad_input_is_one_line(folder: str, options: list[str], message: str, assert_one_line) -> None:
    assert main(["kid", folder, *options]) == 2
    assert_one_line(message)


def test_offline_is_one_line_after_the_note(folder: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv(inception.VARIABLE, raising=False)
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(inception, "import_package", lambda *_, **__: None)
    monkeypatch.setattr(inception, "WEIGHTS", inception.Archive("http://127.0.0.1:9/weights.pth", 1, sha256="0"))
    assert main(["kid", folder, "--patch", "64"]) == 2
    note, error = capsys.readouterr().err.splitlines()
    assert note.startswith("note: downloading the weights of Inception-v3 once")
    assert "name a copy with --weights or KID_WEIGHTS, or use --features alex" in error


@pytest.mark.parametrize("side", ["31", "0", "-64", "big"])
def test_a_side_that_is_none_is_refused(side: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["kid", "somewhere", f"--patch={side}"])
    assert ended.value.code == 2
    assert f"'{side}' is not" in capsys.readouterr().err


def test_a_folder_without_results_is_refused(tmp_path: Path, assert_one_line) -> None:
    assert main(["kid", str(tmp_path)]) == 2
    assert_one_line("no results in")
