"""The playground offers every declared option, and spells what was chosen as the command line does."""

from typing import Any

import pytest

from simulator.channels import load_channel
from simulator.channels.radio.options import RADIO
from simulator.errors import UserError
from simulator.spec.plugins import CHANNELS, SCHEMES, declarations, plugin_names

pytest.importorskip("gradio", reason="gradio is not installed")
from simulator.app import session
from simulator.app.options import OptionControls, find_offers
from simulator.app.page import build

SETTINGS = {"lrisc": {"steps": 4, "gamma": 0.7}}
KNOWN = ("lrisc", "lrisc:gamma=0", "bpg-ldpc", "bpg-ldpc:16qam-1/2", "torch:a.py:A")


def _shown(controls: OptionControls, specification: str) -> dict[str, Any]:
    """What the visible controls show, by label."""
    updates = zip(controls.all, controls.updates(specification), strict=True)
    return {control.label: update["value"] for control, update in updates if update["visible"]}


def _read(controls: OptionControls, specification: str, **changed: Any) -> str:
    """The specification after some of the visible controls were changed."""
    updates = zip(controls.all, controls.updates(specification), strict=True)
    values = [changed.get(one.label, shown["value"]) if shown["visible"] else "hidden" for one, shown in updates]
    return controls.read(specification, tuple(values))


@pytest.mark.parametrize(("group", "more"), [(CHANNELS, RADIO), (SCHEMES, {})])
def test_every_declared_option_has_a_control(group: str, more: dict[str, Any]) -> None:
    names = tuple(plugin_names(group))
    controls = OptionControls(find_offers(group, names, SETTINGS), names[0], "text")
    for one in declarations(group):
        if one.options or not one.form:
            assert set(_shown(controls, one.name)) == {*one.options, *more}, one.name


def test_schemes_with_options() -> None:
    controls = OptionControls(find_offers(SCHEMES, KNOWN, SETTINGS), "lrisc", "text")
    assert _shown(controls, "lrisc") == {"weights": None, "steps": 4, "gamma": 0.7, "seed": 0}
    assert list(_shown(controls, "lrisc:gamma=0")) == ["weights", "steps", "seed"]  # gamma is settled
    assert "mcs" not in _shown(controls, "bpg-ldpc:16qam-1/2")
    for name in KNOWN:
        assert _read(controls, name) == name
    assert _read(controls, "lrisc", gamma=0, weights="", steps=8.0) == "lrisc:steps=8:gamma=0"
    assert _read(controls, "lrisc:gamma=0", seed=3) == "lrisc:gamma=0:seed=3"
    assert _read(controls, "bpg-ldpc", mcs="16qam-1/2", chroma="420") == "bpg-ldpc:16qam-1/2:chroma=420"
    assert _read(controls, "torch:a.py:A", text=" :b=1 ") == "torch:a.py:A:b=1"
    with pytest.raises(UserError, match=r"does not offer 'torch:b\.py:B'; choose one of: lrisc, "):
        controls.read("torch:b.py:B", ())


def test_channels_with_options_of_their_own_and_of_the_radio() -> None:
    controls = OptionControls(find_offers(CHANNELS, ("awgn", "tdl-a"), {}), "awgn", "text")
    chosen = _read(controls, "tdl-a", speed_kmh=60, csi="lmmse", adc_bits=6)
    assert chosen == "tdl-a:speed_kmh=60:csi=lmmse:adc_bits=6"
    assert load_channel(chosen).name == chosen
    with pytest.raises(UserError, match="a number from 0 to 1000"):
        load_channel(_read(controls, "tdl-a", speed_kmh=-1))


def test_the_page_loads_each_scheme_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(session, "find_scheme", lambda name, machine: loaded.append(name))
    build(("bpg-ldpc", "deepjscc"), session.Machine())
    assert loaded == ["bpg-ldpc", "deepjscc"]
