"""Of two packages with a plug-in of one name, all of the program sees the same one."""

from importlib.metadata import EntryPoint

import pytest

from simulator.spec import plugins


def test_plug_ins_of_one_name_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "simulator.channels"
    points = tuple(EntryPoint("twin", value, group) for value in ("fractions:Fraction", "decimal:Decimal"))
    monkeypatch.setattr(plugins, "_points_on", lambda path, group: points)
    assert plugins.plugin_names(group) == ["twin"]
    assert [one.name for one in plugins.declarations(group)] == ["twin"]
    made = plugins.load_plugin(group, "channel", "twin:1")
    assert type(made).__module__ == plugins.plugin_module(group, "twin:1") == "decimal"
