"""`list` shows what is there; its options are those that the parsers take."""

import json
from fractions import Fraction

import pytest

from simulator.__main__ import main
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.experiments.names import experiment_names
from simulator.spec.options import Declaration, Number
from simulator.spec.plugins import (
    CHANNELS,
    METRICS,
    SCHEMES,
    declarations,
    opening_schemes,
    plugin_names,
    standard_schemes,
)
from simulator.sweep.inputs import SweepConfig, load_inputs


def _listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["list", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_everything_that_is_installed_is_listed(capsys):
    listed = {kind: [one["name"] for one in found] for kind, found in _listed(capsys).items()}
    assert listed["schemes"] == plugin_names(SCHEMES)
    assert listed["channels"] == [*plugin_names(CHANNELS), "any of these"]
    assert {"psnr_db", "ms_ssim", "lpips"} <= set(listed["metrics"])
    assert listed["images"] == ["samples", "kodak", "PATH"]
    assert listed["experiments"] == experiment_names()


def test_each_built_in_plugin_declares_itself_with_help_for_every_option():
    for group in (SCHEMES, CHANNELS, METRICS):
        for one in declarations(group):
            assert one.declared, one.name
            assert one.summary, one.name
            assert all(option.help for option in one.options.values()), one.name


def test_text_names_options_ranges_and_defaults(capsys):
    assert main(["list", "channels"]) == 0
    shown = capsys.readouterr().out
    assert "rician-fast" in shown
    assert "K=" in shown
    assert "a number from -60 to 60; default 9]" in " ".join(shown.split())


def test_an_overview_shortens_many_values_and_a_name_shows_them_all(capsys):
    assert main(["list", "schemes"]) == 0
    overview = " ".join(capsys.readouterr().out.split())
    assert "[adaptive, 4qam-1/5 ... 33 in all ... 256qam-9/10; default adaptive]" in overview
    assert main(["list", "schemes", "bpg-ldpc"]) == 0
    shown = capsys.readouterr().out
    assert "64qam-7/10" in shown
    assert "jpeg-ldpc" not in shown
    assert main(["list", "schemes", "codec-ldpc"]) == 0
    assert "4qam-1/2" in capsys.readouterr().out
    assert [one["name"] for one in _listed(capsys, "schemes", "lrisc", "deepjscc", "lrisc")["schemes"]] == [
        "lrisc",
        "deepjscc",
    ]


def test_a_name_that_is_not_there_is_one_line(capsys):
    assert main(["list", "channels", "raleigh"]) == 2
    said = capsys.readouterr().err
    assert said == "error: no 'raleigh' among the channels; 'list channels' shows them; did you mean 'rayleigh'?\n"


MULTIPATH = {one.name: one for one in declarations(CHANNELS)}["tdl-c"].options.keys()


@pytest.mark.parametrize("name", plugin_names(CHANNELS))
def test_parsers_take_what_is_listed_and_refuse_what_lies_beyond(name):
    (said,) = (one for one in declarations(CHANNELS) if one.name == name)
    for key, option in said.options.items():
        if isinstance(option, Number):
            inside, beyond = option.high if key != "subcarriers" else 300, option.high + 12
            needed = f"{name}:model=tdl-c" if name == "mimo" and key in MULTIPATH else name
            assert load_channel(f"{needed}:{key}={inside:g}").name.startswith(name)
            with pytest.raises(UserError, match=f"'{name}': {key}={beyond:g} is not allowed; give {key} as"):
                load_channel(f"{needed}:{key}={beyond:g}")


def test_plugin_of_a_stranger_without_declaration_is_described_by_its_docstring(toys, capsys):
    found = {one["name"]: one for one in _listed(capsys, "schemes")["schemes"]}
    assert found["toy"]["summary"] == "Sends the means of 8 x 8 blocks as amplitudes, without any coding."
    assert found["toy"]["options"] is None
    assert "toy" not in standard_schemes()


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """An installed package whose scheme and verb cannot be imported."""
    folder = tmp_path / "broken-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    groups = "[simulator.schemes]\nbroken = no_such_module_at_all:Scheme\n"
    groups += "[simulator.verbs]\nshatter = no_such_module_at_all\n"
    (folder / "entry_points.txt").write_text(groups)
    monkeypatch.syspath_prepend(tmp_path)


def test_plugin_that_cannot_be_imported_is_listed_with_the_reason(broken, capsys):
    found = {one["name"]: one for one in _listed(capsys, "schemes")["schemes"]}
    assert "cannot be imported" in found["broken"]["summary"]
    assert "no_such_module_at_all" in found["broken"]["summary"]
    assert "bpg-ldpc" in found


def test_sweep_says_that_it_left_out_what_cannot_be_imported(broken):
    notes = []
    wanted = SweepConfig((10.0,), (Fraction(1, 16),), limit=1, lpips="none")
    assert "broken" not in load_inputs(wanted, notes.append).schemes
    assert "left out broken: No module named 'no_such_module_at_all'" in notes


def test_order_of_standard_and_opening_schemes():
    assert standard_schemes() == ["bpg-ldpc", "deepjscc", "lrisc", "bpg-capacity"]
    assert opening_schemes() == ["lrisc", "bpg-ldpc", "deepjscc"]


def test_help_of_sweep_names_the_standard_schemes(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    assert f"(default: {', '.join(standard_schemes())})" in " ".join(capsys.readouterr().out.split())


def test_verb_that_cannot_be_imported_is_one_warning(broken, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert "bpg" in out
    assert err == "warning: verb 'shatter' is left out: No module named 'no_such_module_at_all'\n"


def test_unknown_kind_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["list", "cats"])
    assert left.value.code == 2
    assert "schemes" in capsys.readouterr().err


def test_canonical_name_leaves_out_defaults_and_keeps_one_order():
    said = Declaration("x", "one", {"a": Number(1, 0, 10), "b": Number(None, 0, 5, whole=True)})
    assert said.spell(said.read(["b=3", "a=1"])) == "x:b=3"
    assert said.spell(said.read(["b=3", "a=2.5"])) == "x:a=2.5:b=3"
    assert said.read([]) == {"a": 1, "b": None}
