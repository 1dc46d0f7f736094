"""The published networks learn from random weights, and what is exported runs as a scheme."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.baselines.published.trainee import Air
from simulator.baselines.published.training import PublishedSystem
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.link import load_scheme, transmit
from simulator.models.training.entries import read_config
from tests.baselines.published.conftest import NTSCC, SWIN
from tests.baselines.published.test_schemes import photographs

LISTED = {key: list(value) if isinstance(value, tuple) else value for key, value in SWIN.items()}
MODELS = {
    "swinjscc": {"mode": "sa-ra", **LISTED},
    "witt": {"mode": "sa", "channels": 12, **LISTED},
    "ntscc": {key: list(value) if isinstance(value, tuple) else value for key, value in NTSCC.items()},
    "adjscc": {"channels": 8, "width": 16},
}


def settings(system: str, steps: int, **stage) -> list[str]:
    rates = ["stages.1.rates=[8, 16, 32]"] if system == "swinjscc" else []
    rates += ["stages.1.snr_db=[20, 20]"] if system == "adjscc" else []
    changes = [f"model={MODELS[system]}", "loop.crop=64", "loop.batch=8", f"stages.1.loop.steps={steps}", *rates]
    changes += ["loop.precision=fp32", "loop.learning_rate=2.0e-3", "loop.warmup=5", "loop.validation_crop=64"]
    changes += ["loop.validation_images=4", "loop.ema=0.9", *(f"stages.1.{k}={v}" for k, v in stage.items())]
    return changes


@pytest.mark.parametrize(("system", "rate", "steps", "side"), [
    ("swinjscc", 2e-3, 10, 64), ("witt", 2e-3, 10, 64), ("ntscc", 2e-3, 10, 64), ("adjscc", 3e-3, 50, 32),
])  # fmt: skip
def test_each_learns_from_random_weights(system, rate, steps, side):
    stage = PublishedSystem(system).stages(read_config(config_file(system), settings(system, steps)))[0]
    trainee = stage.make(None, None)  # type: ignore[arg-type]
    images, generator = photographs(4, side, side), torch.Generator().manual_seed(0)
    parameters = [p for group in trainee.parameter_groups() for p in group["params"]]
    optimizer = torch.optim.Adam(parameters, rate)
    before = trainee.validate(trainee.model.eval(), images)["psnr_db"]
    for step in range(steps):
        optimizer.zero_grad()
        loss, _ = trainee.loss(images, step / steps, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        assert torch.isfinite(loss)
    after = trainee.validate(trainee.model, images)["psnr_db"]
    assert after > before + 1, (before, after)


def config_file(system: str) -> Path:
    return Path(f"experiments/train/{system}.yaml")


@pytest.mark.parametrize("system", ["swinjscc", "ntscc"])
def test_every_used_parameter_gets_a_gradient(system):
    config = read_config(config_file(system), settings(system, 4, fading=0.5))
    trainee = PublishedSystem(system).stages(config)[0].make(None, None)  # type: ignore[arg-type]
    loss, _ = trainee.loss(photographs(4, 64, 64), 0.5, torch.Generator().manual_seed(0))
    loss.backward()
    without = [
        name
        for name, p in trainee.model.named_parameters()
        if any(p is one for group in trainee.parameter_groups() for one in group["params"]) and p.grad is None
    ]
    assert without == []


def test_training_runs_resumes_and_exports_what_a_scheme_loads(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("SIMULATOR_DATA_DIR", str(tmp_path / "data"))
    for index, image in enumerate(photographs(8, 96, 96)):
        pixels = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    system, run = PublishedSystem("swinjscc"), tmp_path / "run"
    for steps in (2, 4):
        system.train(config_file("swinjscc"), [tmp_path / "images"], run, settings("swinjscc", steps))
    written = system.export(config_file("swinjscc"), run, tmp_path / "out", settings("swinjscc", 4))
    assert [path.name for path in written] == ["swinjscc.safetensors"]
    scheme = load_scheme(f"swinjscc:weights={tmp_path / 'out'}")
    trip = transmit(scheme, photographs(1, 64, 64), Fraction(1, 8), load_channel("awgn"), 10.0)
    assert trip.decoded.outage == [False]


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("model.mode=loud", "mode"),
        ("model.widht=3", "widht"),
        ("stages.1.rates=[400]", "go up to 400"),
        ("stages.1.fading=2", "share from 0 to 1"),
        ("stages.1.snr_db=[9, 3]", "lowest and the highest"),
        ("stages.1.start=nobody", "no weights 'nobody'"),
        ("system=lrisc", "not for swinjscc"),
    ],
)
def test_bad_configuration_is_named(library, override, match):
    with pytest.raises(UserError, match=match):
        PublishedSystem("swinjscc").stages(read_config(config_file("swinjscc"), [override]))


def test_air_keeps_power_and_noise():
    snr_db = torch.tensor([0.0, 20.0])
    values = torch.randn(2, 20000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.1], [7.0]])
    active = torch.arange(20000) < 10000
    received, met = Air(snr_db, torch.Generator().manual_seed(1)).send(values, active.expand(2, -1))
    assert torch.allclose(met, snr_db)
    assert (received[:, 10000:] == 0).all()
    power = values[:, :10000].square().mean(1)
    noise = (received - values)[:, :10000].square().mean(1)
    assert torch.allclose(noise / power, 10 ** (-snr_db / 10), rtol=0.05)
