"""The schemes of an experiment's rows, for figures that send images or count costs once more."""

from collections.abc import Callable
from functools import cache
from typing import Any

from simulator.link import load_scheme, on_device
from simulator.results.store import Results
from simulator.sweep.inputs import SweepConfig


def names_of(config: SweepConfig, results: Results) -> dict[str, str]:
    """What results call each scheme, by its specification in their configuration: the spelling there may differ."""
    names = results.meta["names"]
    return dict(zip(config.schemes or names, names.values(), strict=True))


def scheme_loader(config: SweepConfig, results: Results) -> Callable[[str], Any]:
    """Loads the scheme or bound that rows call by a name, once, where and in the precision that the sweep computed."""
    specs = {name: spec for spec, name in names_of(config, results).items()}
    return cache(lambda name: on_device(load_scheme(specs[name]), config.device, config.precision))
