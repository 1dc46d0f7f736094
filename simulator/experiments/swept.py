"""A finished sweep, for figures that send images or count costs once more."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from simulator.analysis.outputs import FIGURES
from simulator.analysis.plots import Write
from simulator.channels import load_channel
from simulator.link import Bound, Scheme, Trip, load_scheme, on_device, transmit
from simulator.results.rows import Row
from simulator.results.store import Results
from simulator.sweep.inputs import SweepConfig, choose_images


def names_of(config: SweepConfig, results: Results) -> dict[str, str]:
    """What results call each scheme, by its specification in their configuration: the spelling there may differ."""
    names = results.meta["names"]
    return dict(zip(config.schemes or names, names.values(), strict=True))


@dataclass(frozen=True)
class Swept:
    """What the figures of an experiment are made of.

    Attributes:
        config: what was swept.
        results: its rows.
        labels: what to call a scheme, by name.
        name: what the files' names begin with.
        write: writes a file.
    """

    config: SweepConfig
    results: Results
    labels: Mapping[str, str]
    name: str
    write: Write

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.results.folder / FIGURES

    @cached_property
    def images(self) -> dict[str, torch.Tensor]:
        """The images float32 [3, H, W], by name."""
        return {image.name: image.pixels for image in choose_images(self.config)}

    @cached_property
    def schemes(self) -> dict[str, Scheme | Bound]:
        """The schemes and bounds that rows name, where and in the precision that the sweep computed."""
        specs = {name: spec for spec, name in names_of(self.config, self.results).items()}
        used = dict.fromkeys(row.scheme for row in self.results.rows)
        return {name: on_device(load_scheme(specs[name]), self.config.device, self.config.precision) for name in used}

    @torch.inference_mode()
    def send(self, row: Row) -> Trip:
        """Send the image of a row once more, through the same channel."""
        image, scheme, channel = self.images[row.image], self.schemes[row.scheme], load_channel(row.channel)
        cbr = next(one for one in self.config.cbrs if float(one) == row.cbr_target)
        return transmit(scheme, image[None], cbr, channel, row.snr_db, row.realisation, self.config.seed)
