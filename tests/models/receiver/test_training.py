"""From pictures to a receiver that the scheme loads, in miniature."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from simulator.baselines import bpg
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import load_scheme, transmit
from simulator.models.pretrained import load_pretrained
from simulator.models.receiver.net import Receiver, ReceiverConfig
from simulator.models.training import fitting
from simulator.models.training.data import ImageStore, training_batch, validation_batch
from simulator.models.training.entries import read_config
from simulator.models.training.fitting import crops, fit_last_layers
from simulator.models.training.pairs import HIGHEST_QP, LOWEST_QP, PLANES, apart, pair, pair_up, qp_of
from simulator.models.training.receiving import ReceiverSystem, companion
from simulator.models.training.restoring import ReceiverTrainee, RestoringConfig

SHIPPED = Path("experiments/train/receiver.yaml")
TINY = ReceiverConfig(patch=2, channels=(8, 12), blocks=(1, 1))
CONFIG = """
system: receiver
name: mine
model: {patch: 2, channels: [8, 12], blocks: [1, 1]}
pictures: 8
loop: {steps: 2, batch: 4, crop: 64, warmup: 2, validation_crop: 64, validation_images: 1, checkpoint_every_s: 0.0}
stages:
  - loss: {perception: 0}
  - {start: 1, loss: {perception: 8, structure: 0.5, lattice: 100}}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "receiver-training-cache"))


@pytest.fixture(scope="module")
def pictures() -> ImageStore:
    """Pieces of real photographs, 128 x 144 pixels."""
    pieces = []
    for photograph in load_image_set("samples", crop=300):
        pieces += [np.ascontiguousarray(photograph.rgb[y : y + 128, x : x + 144]) for y in (0, 150) for x in (0, 150)]
    return ImageStore(pieces, [f"{index:064x}" for index in range(len(pieces))])


@pytest.fixture(scope="module")
def pairs(pictures, tmp_path_factory) -> ImageStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "receiver-training-cache"))
        return pair_up(pictures, 8, lambda done, total: None)


class Blur:
    """A distance that needs no weights."""

    name = "alex"

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).abs().mean(dim=(1, 2, 3))

    def to(self, device: object) -> "Blur":
        return self


def trainee(**options: object) -> ReceiverTrainee:
    torch.manual_seed(0)
    return ReceiverTrainee(Receiver(TINY), RestoringConfig(**options), 0.4, nets=[Blur()])


def test_a_pair_is_the_picture_its_coded_self_and_the_qp(pictures) -> None:
    rgb = pictures.images[0]
    both = pair(rgb, 33)
    assert both.shape == (*rgb.shape[:2], PLANES)
    assert np.array_equal(both[..., :3], rgb)
    assert np.array_equal(both[..., 3:6], bpg.decode(bpg.encode(rgb, 33)))
    assert (both[..., 6] == 33).all()


def test_qps_depend_on_the_content_and_span_the_range() -> None:
    qps = [qp_of(f"{index:064x}") for index in range(3000)]
    assert (min(qps), max(qps)) == (LOWEST_QP, HIGHEST_QP)
    assert np.mean(qps) == pytest.approx((LOWEST_QP + HIGHEST_QP) / 2, abs=0.5)
    assert qp_of("a") == qp_of("a") != qp_of("b")


def test_coding_tells_its_progress_and_goes_on_from_the_cache(pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path))
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pair_up(pictures, 4, stop)
    assert told == [(0, 4), (1, 4), (2, 4)]
    written = sorted(tmp_path.rglob("*.bpg"))
    times = [file.stat().st_mtime_ns for file in written]
    assert len(written) == 2
    done = pair_up(pictures, 4, lambda done, total: None)
    assert len(done) == 4
    assert [file.stat().st_mtime_ns for file in written] == times
    assert done.digests == sorted(pictures.digests)[:4]


def test_crops_cut_a_pair_as_one(pairs) -> None:
    picture, decoded, qp = apart(training_batch(pairs, 0, 3, 8, 64))
    assert picture.shape == decoded.shape == (8, 3, 64, 64)
    assert {int(one) for one in qp} <= {qp_of(digest) for digest in pairs.digests}
    assert float((picture - decoded).square().mean(dim=(1, 2, 3)).max()) < 0.02  # of other places it would be larger
    assert apart(validation_batch(pairs, 2, 64))[2].tolist() == [float(qp_of(d)) for d in sorted(pairs.digests)[:2]]


def test_least_squares_start_above_the_codec(pairs, monkeypatch) -> None:
    monkeypatch.setattr(fitting, "CROPS", 64)
    one = trainee(perception=0)
    batch = training_batch(pairs, 0, 99, 16, 128)
    figures = [one.loss(batch, 0.0, torch.Generator().manual_seed(0))[1]["gain_db"]]
    fit_last_layers(one.net, crops(pairs, 128))
    figures.append(one.loss(batch, 0.0, torch.Generator().manual_seed(0))[1]["gain_db"])
    assert figures[0] == pytest.approx(0, abs=1e-4)
    assert figures[1] > 0.03
    assert not one.net.leave._forward_pre_hooks  # nothing of the fit stays on the network


def test_gammas_and_steps_span_what_the_sampler_meets(pairs) -> None:
    one = trainee(perception=8, later_share=0.25)
    for seed in range(20):
        gamma, time, later = one._draw(8, torch.Generator().manual_seed(seed))
        assert float(gamma.max()) <= 0.8
        assert float(gamma.min()) >= 0.1
        assert (time[~later] == 1).all()
        assert (time[later] > 0).all()
    assert not trainee(perception=0)._draw(8, torch.Generator().manual_seed(0))[0].any()


def test_gamma_weighs_perception(pairs) -> None:
    batch = training_batch(pairs, 0, 0, 4, 64)
    terms = []
    for gamma in (0.2, 0.8):
        settings = {"later_share": 0.0, "gamma": (gamma, gamma)}
        whole, figures = trainee(perception=8, **settings).loss(batch, 0.0, torch.Generator().manual_seed(0))
        alone, _ = trainee(perception=1e-9, **settings).loss(batch, 0.0, torch.Generator().manual_seed(0))
        terms.append(float((whole - alone).detach()) / figures["distance"])
    assert terms == pytest.approx([2, 8], rel=1e-3)


class Shifted:
    """In place of LRISC's pictures: the true ones, a little brighter."""

    def pictures(self, x: torch.Tensor, base: torch.Tensor, *_: object) -> torch.Tensor:
        return x + 0.1


@pytest.mark.parametrize(("perception", "end"), [(0, "faithful"), (8, "lively")])
@pytest.mark.parametrize("latent_share", [0.0, 0.5])
def test_a_stage_trains_all_of_its_end_and_nothing_else(pairs, perception, end, latent_share) -> None:
    one = trainee(perception=perception, latent_share=latent_share)
    one.companion = Shifted() if latent_share else None
    with torch.no_grad():
        for parameter in one.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    one.loss(training_batch(pairs, 0, 0, 8, 64), 0.5, torch.Generator().manual_seed(0))[0].backward()
    own = {name for name, _ in one.model.named_parameters() if name.startswith(end)}
    moved = {name for name, value in one.model.named_parameters() if value.grad is not None and value.grad.any()}
    assert moved == own - (set() if latent_share else {f"{end}.beside.weight"})
    grouped = [parameter for group in one.parameter_groups() for parameter in group["params"]]
    assert len(grouped) == len(own)


def test_the_psnr_end_pays_for_lattices(pairs) -> None:
    batch = training_batch(pairs, 0, 0, 8, 64)
    losses = [
        float(trainee(perception=0, lattice=weight).loss(batch, 0.0, torch.Generator().manual_seed(0))[0].detach())
        for weight in (0.0, 3.0)
    ]
    assert losses[1] > losses[0] + 0.1


def test_the_latents_picture_is_seen_beside_some_images_only(pairs) -> None:
    batch = training_batch(pairs, 0, 0, 8, 64)
    losses = {}
    for share in (0.0, 0.5, 1.0):
        one = trainee(perception=0, latent_share=share)
        one.companion = Shifted()
        torch.manual_seed(1)
        torch.nn.init.normal_(one.net.beside.weight, std=0.01)
        losses[share] = float(one.loss(batch, 0.0, torch.Generator().manual_seed(0))[0].detach())
    assert len(set(losses.values())) == 3
    one.companion = None
    assert float(one.loss(batch, 0.0, torch.Generator().manual_seed(0))[0].detach()) == losses[0.0]


def test_lrisc_makes_pictures_beside_a_base(pairs) -> None:
    picture, decoded, qp = apart(training_batch(pairs, 0, 0, 4, 64))
    made = {}
    for faithful in (False, True):
        generator = torch.Generator().manual_seed(0)
        made[faithful] = companion().pictures(picture * 2 - 1, decoded * 2 - 1, qp, faithful, generator)
    flat = (picture * 2 - 1).mean(dim=(2, 3), keepdim=True)
    for one in made.values():
        assert (one - (picture * 2 - 1)).square().mean() < 0.2 * (flat - (picture * 2 - 1)).square().mean()
    assert not torch.equal(made[False], made[True])


def test_validation_measures_both_ends(pairs) -> None:
    one = trainee(perception=8)
    figures = one.validate(one.model, validation_batch(pairs, 2, 64))
    assert figures["gain_db"] == pytest.approx(0, abs=1e-3)
    assert figures["score"] == pytest.approx(figures["psnr_db_perceptual"] - 50 * figures["lpips"], rel=1e-5)
    assert trainee(perception=0).validate(one.model, validation_batch(pairs, 2, 64))["score"] == figures["psnr_db"]
    assert one.pictures(one.model, validation_batch(pairs, 2, 64)).shape == (3, 4 * 64, 2 * 64)
    assert "gamma 0.4" in one.measure


def test_training_codes_resumes_and_exports_what_the_scheme_loads(pictures, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("simulator.models.training.perceptual.LpipsNet", lambda name: Blur())
    monkeypatch.setattr(fitting, "CROPS", 8)
    (tmp_path / "images").mkdir()
    for index, rgb in enumerate(pictures.images):
        Image.fromarray(rgb).save(tmp_path / "images" / f"{index}.png")
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("crop: 64, w", "crop: 96, w"))
    system, run = ReceiverSystem(), tmp_path / "run"
    system.train(config, [tmp_path / "images"], run, stage=1)
    results = system.train(config, [tmp_path / "images"], run, ["loop.steps=3"])
    assert [one.step for one in results] == [3, 3]
    first, second = (load_file(run / f"stage-{number}" / "best.safetensors") for number in (1, 2))
    faithful = [name for name in second if name.startswith("ema.faithful.")]
    assert faithful
    assert all(torch.equal(first[name], second[name]) for name in faithful)
    assert "coded 8 of 8 pictures with BPG" in capsys.readouterr().out
    with pytest.raises(UserError, match="pictures"):
        system.train(config, [tmp_path / "images"], run, ["pictures=7"])
    (written,) = system.export(config, run, tmp_path / "out")
    card = json.loads(written.with_suffix(".json").read_text())
    assert (card["system"], [one["steps"] for one in card["training"]]) == ("receiver", [3, 3])
    scheme = load_scheme(f"bpg-ldpc:receiver=diffusion:weights={tmp_path / 'out'}")
    image = torch.from_numpy(pictures.images[0]).permute(2, 0, 1)[None].float() / 255
    assert transmit(scheme, image, Fraction(1, 8), load_channel("awgn"), 10.0).decoded.outage == [False]


def test_the_shipped_configuration_ends_in_the_released_weights() -> None:
    stages = ReceiverSystem().stages(read_config(SHIPPED))
    assert [stage.start.stage for stage in stages] == [None, 1, 2, 3, 4]
    assert [stage.release for stage in stages] == [None, None, None, None, "bpg-receiver"]
    released = load_pretrained("bpg-receiver")[1]
    assert [one["stage"] for one in released["training"]] == [stage.title for stage in stages]
    assert [one["loop"]["minutes"] for one in released["training"]] == [stage.loop.minutes for stage in stages]
    assert json.loads(json.dumps(stages[-1].card["config"])) == released["config"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("system=lrisc", "not for receiver: it needs"),
        ("speed=3", "speed"),
        ("gamma=0", "'gamma' is 0; it must be above 0 and at most 0.8"),
        ("pictures=1", "'pictures' is 1; it must be the number of pictures to code, 2 or more"),
        ("stages.1.loss.gamma=[0, 0.5]", r"'gamma' of 'loss' is .*; it must be \[lowest, highest\]"),
        ("stages.1.loss.later_share=2", "'later_share' of 'loss' is 2"),
        ("stages.1.loss.perception=-1", "'perception' of 'loss' is -1.0; it must be 0 or more"),
        ("stages.2.loss.nets=[resnet]", "'nets' of 'loss' has resnet; known: alex"),
        ("stages.2.start=7", "'start' of stage 2"),
        ("stages.1.loop.crop=100", "must be multiples of 16"),
        ("stages.2.loop.crop=64", "need a 'crop' of at least 80"),
    ],
)
def test_wrong_configurations_are_one_line(override: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        ReceiverSystem().stages(read_config(SHIPPED, [override]))
    assert "\n" not in str(caught.value)


def test_other_sizes_than_those_of_the_start_are_refused(pairs) -> None:
    stage = ReceiverSystem().stages(read_config(SHIPPED))[1]
    state = Receiver(replace(TINY, channels=(8, 16))).state_dict()
    with pytest.raises(UserError, match="'model' is not that of the weights"):
        stage.make(pairs, state)
