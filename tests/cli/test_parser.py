"""Errors with suggestions, settings from a file, and examples that parse."""

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.__main__ import build_parser, main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["swep"], "'sweep'"),
        (["sweep", "--snrr", "0:3"], "'--snr'"),
        (["sweep", "--snr=0", "--keep-image=some"], "none, best, all"),
        (["list", "scheme"], "'schemes'"),
        (["--hlep"], "'--help'"),
    ],
)
def test_a_slip_is_answered_by_what_was_meant(
    arguments: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suggestion in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["--scheme", "lrsc"], "'lrisc'"),
        (["--scheme", "bpg-ldpc:16qam1/2"], "'16qam-1/2'"),
        (["--channel", "rayliegh"], "'rayleigh'"),
        (["--channel", "tdl-c:speed=3"], "'speed_kmh'"),
        (["--metric", "dist"], "'dists'"),
        (["--images", "kodk"], "'kodak'"),
    ],
)
def test_names_of_things_are_suggested(
    arguments: list[str], suggestion: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = ["--snr", "0", "--lpips", "none", "--out", str(tmp_path / "out")]
    scheme = [] if "--scheme" in arguments else ["--scheme", "bpg-capacity"]
    assert main(["sweep", *fixed, *scheme, *arguments]) == 2
    assert f"did you mean {suggestion}?" in capsys.readouterr().err


def test_a_file_gives_defaults_that_the_command_line_overrides(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("snr: 1:15:7\nscheme: [lrisc, deepjscc]\nkeep_images: all\nfresh: true\n")
    args = build_parser().parse_args(["sweep", "--cbr", "1/8", "--config", str(path)])
    assert (args.snr, args.scheme, args.keep_images, args.fresh) == ((1, 8, 15), ("lrisc", "deepjscc"), "all", True)
    args = build_parser().parse_args(["sweep", "--snr", "3", "--config", str(path), "--scheme", "lrisc"])
    assert (args.snr, args.scheme) == ((3,), ("lrisc",))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("snrs: 3", "unknown key 'snrs'"),
        ("snr: 0\nlpips: axel", "lpips is 'axel'; known: alex"),
        ("snr: 0\nfresh: 2", "write true or false"),
        ("snr: 15:0", "snr: range '15:0' is empty"),
        ("crop: 32", "required: --snr"),
    ],
)
def test_a_bad_file_is_one_line(text: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grid.yaml").write_text(text)
    assert error in refused(capsys, "sweep", "--config", str(tmp_path / "grid.yaml"))


def test_a_file_that_is_not_named_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "sweep", "--config")
    assert error.startswith("error: argument --config: expected one argument")
    assert error.count("\n") == 1


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


def test_every_verb_ends_its_help_with_examples_that_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("grid.yaml").write_text("snr: 0:15")
    verbs = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert all(one.epilog for one in verbs.choices.values())
    epilogs = {one.epilog for one in parsers(build_parser()) if one.epilog}
    commands = re.findall(r"python -m simulator (.*?)(?: >.*)?$", "\n".join(epilogs), re.MULTILINE)
    for command in commands:
        build_parser().parse_args(shlex.split(command))


def test_quiet_prints_results_alone(toys, photographs, tmp_path, capsys, without_figures) -> None:
    fixed = ["--images", str(photographs), "--lpips", "none", "--workers", "1", "--out", str(tmp_path / "results")]
    assert main(["sweep", "--snr", "0", "--scheme", "toy", *fixed, "-q"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "toy" in printed.out
    assert main(["sweep", "--snr", "1", "--scheme", "toy", *fixed, "-v"]) == 0
    assert "toy, awgn, 1 dB" in capsys.readouterr().err


def test_a_dry_run_counts_and_writes_nothing(toys, photographs, tmp_path, capsys) -> None:
    out = tmp_path / "results"
    fixed = ["--images", str(photographs), "--lpips", "none", "--workers", "2", "--out", str(out), "--json"]
    assert main(["sweep", "--snr", "0:4", "--scheme", "toy", "--keep-images", "all", *fixed, "--dry-run"]) == 0
    assert not out.exists()
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["finished"], found["workers"]) == (20, 0, 2)
    assert found["seconds"] > 0
    assert found["megabytes"] > 0.06 + 20 * 400e-6


def test_a_dry_run_counts_rows_of_every_plan_that_have_their_pictures(
    toys, photographs, tmp_path, capsys, without_figures
) -> None:
    fixed = ["--images", str(photographs), "--lpips", "none", "--workers", "1", "--out", str(tmp_path / "results")]

    def finished(*arguments: str) -> int:
        assert main(["sweep", "--scheme", "toy", *fixed, *arguments, "--dry-run", "--json"]) == 0
        return json.loads(capsys.readouterr().out)["finished"]

    for snr in ("0:4", "20"):  # the second plan leaves the rows of the first
        assert main(["sweep", "--scheme", "toy", *fixed, "--snr", snr, "-q"]) == 0
    capsys.readouterr()
    assert finished("--snr", "0:4") == 20
    assert finished("--snr", "0:4", "--keep-images", "all") == 0
    assert finished("--snr", "0:4", "--fresh") == 0
