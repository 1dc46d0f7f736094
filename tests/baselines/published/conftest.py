"""The published systems in miniature, imported into a library of the test's own."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from simulator.baselines.published.adjscc import Adjscc, AdjsccConfig
from simulator.baselines.published.ntscc import Ntscc, NtsccConfig
from simulator.baselines.published.swinjscc import SwinConfig, SwinJscc

SWIN = {"widths": (16, 32), "depths": (1, 2), "heads": (2, 4), "window": 4}
NTSCC = {"width": 32, "heads": 4, "hyper": 8, "depths": (1, 1, 1, 2), "coder_depth": 1}
NETWORKS = {
    "base": ("swinjscc", SwinJscc, SwinConfig("base", 12, **SWIN)),
    "sa": ("swinjscc", SwinJscc, SwinConfig("sa", 12, **SWIN)),
    "ra": ("swinjscc", SwinJscc, SwinConfig("ra", None, **SWIN)),
    "sa-ra": ("swinjscc", SwinJscc, SwinConfig("sa-ra", None, **SWIN)),
    "witt": ("witt", SwinJscc, SwinConfig("sa", 12, **SWIN)),
    "ntscc": ("ntscc", Ntscc, NtsccConfig(**NTSCC)),
    "ntscc-side": ("ntscc", Ntscc, NtsccConfig(**NTSCC, side_info=True)),
    "adjscc": ("adjscc", Adjscc, AdjsccConfig(3, 32)),
    "pdjscc": ("pdjscc-published", Adjscc, AdjsccConfig(4, 32)),
}


@pytest.fixture(scope="session")
def _library(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "weights").mkdir()
    for name, (system, make, config) in NETWORKS.items():
        torch.manual_seed(0)
        network = make(config)
        if isinstance(network, Ntscc):  # a little spread, so that tokens differ in rate
            network.hs[4].bias.data[: config.width] = 0.3
        data = save({key: tensor.contiguous() for key, tensor in network.state_dict().items()})
        card = {"name": name, "title": name, "system": system, "model": asdict(config), "bytes": len(data)}
        card["sha256"] = hashlib.sha256(data).hexdigest()
        (root / "weights" / f"{name}.safetensors").write_bytes(data)
        (root / "weights" / f"{name}.json").write_text(json.dumps(card))
    return root


@pytest.fixture
def library(_library, monkeypatch) -> Path:
    """A library with every system under the names of `NETWORKS`."""
    monkeypatch.setenv("SIMULATOR_DATA_DIR", str(_library))
    return _library
