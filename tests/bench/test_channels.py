"""`bench channels` measures what it says."""

import json

import pytest

from simulator.__main__ import main
from simulator.bench.channels import compare_channels


def test_every_kind_of_channel_is_held_against_bare_blocks() -> None:
    specs = ("awgn", "rayleigh", "rician-fast:K=3", "tdl-a:csi=lmmse:subcarriers=48", "cdl-a")
    told: list[str] = []
    runs = list(compare_channels(specs, 4000, 2, told.append))
    assert told == [one.channel for one in runs] == list(specs)
    for one in runs:
        assert one.bare_symbols_per_second is not None
        assert one.cost == one.bare_symbols_per_second / one.symbols_per_second


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["bench", "channels", "--channel", "awgn, rayleigh", "--symbols", "1000", "--repeats", "1", "--json"]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert [run["channel"] for run in printed["runs"]] == ["awgn", "rayleigh"]


def test_unknown_channel_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "channels", "--channel", "tdl-z"]) == 2
    assert "unknown channel 'tdl-z'" in capsys.readouterr().err
