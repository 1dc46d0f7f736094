"""From a YAML file to released weights, in miniature: DeepJSCC trained for seconds on pieces of the samples."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from PIL import Image

from simulator.baselines.deepjscc import DeepJscc
from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig
from simulator.baselines.deepjscc.training import Conditions, DeepJsccSystem, DeepJsccTrainee
from simulator.channels import load_channel
from simulator.cost import measure_cost
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import load_scheme, transmit
from simulator.models.pretrained import read_card
from simulator.models.training.checkpoint import load_checkpoint, save_checkpoint
from simulator.models.training.data import load_images
from simulator.models.training.entries import read_config, share_minutes, stage_loop, stage_start
from simulator.models.training.learner import LoopConfig
from simulator.models.training.loop import CHECKPOINT, run
from simulator.models.training.session import _keep_config

CONFIG = """
system: deepjscc
model: {encoder_width: 8, encoder_blocks: 1, decoder_width: 8, decoder_blocks: 1, detail_width: 8, detail_blocks: 1}
loop: {steps: 30, batch: 4, crop: 32, warmup: 5, validation_crop: 48, validation_images: 2, checkpoint_every_s: 0.0}
stages:
  - uses: [16, 32, 48, 64]
  - {uses: 16, start: 1, release: deepjscc-1-48, loop: {steps: 10}}
  - {uses: 32, start: 1, release: deepjscc-1-24, loop: {steps: 2}}
  - {uses: 48, start: 1, release: deepjscc-1-16, loop: {steps: 2}}
  - {uses: 64, start: 1, release: deepjscc-1-12, loop: {steps: 2}}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[Path, Path]:
    """(configuration, folder of images): pieces of real photographs."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "images").mkdir()
    for photograph in load_image_set("samples", crop=300):
        for index in range(5):
            piece = photograph.rgb[60 * index : 60 * index + 56, 60 * index : 60 * index + 64]
            Image.fromarray(piece).save(folder / "images" / f"{photograph.name}-{index}.png")
    return folder / "config.yaml", folder / "images"


@pytest.fixture(scope="module")
def run_dir(inputs, tmp_path_factory) -> Path:
    config, images = inputs
    folder = tmp_path_factory.mktemp("run")
    results = DeepJsccSystem().train(config, [images], folder)
    assert [result.step for result in results] == [30, 10, 2, 2, 2]
    return folder


COSTS = ("macs_per_pixel", "peak_mib")


def test_export_gives_weights_that_the_scheme_takes(inputs, run_dir, tmp_path):
    config, _ = inputs
    written = DeepJsccSystem().export(config, run_dir, tmp_path)
    assert [path.stem for path in written] == [f"deepjscc-1-{n}" for n in (48, 24, 16, 12)]
    card = json.loads((tmp_path / "deepjscc-1-48.json").read_text())
    assert card["model"]["uses"] == 16
    assert [entry["steps"] for entry in card["training"]] == [30, 10]
    for path in written:
        ratio = Fraction(*map(int, path.stem.split("-")[1:]))
        found = measure_cost(load_scheme(f"deepjscc:weights={tmp_path}"), ratio)
        cost = json.loads(path.with_suffix(".json").read_text())["cost"]
        assert cost["weights"] == found.weights
        assert cost["decoder_macs_per_pixel"] == pytest.approx(found.decoder.macs_per_pixel, abs=0.05)
        assert set(cost) == {"weights", *(f"{half}_{key}" for half in ("encoder", "decoder") for key in COSTS)}
    assert card["validation"]["psnr_db"] > 10
    assert card["known_limits"]
    assert "/" not in json.dumps(card["data"])
    image = torch.rand(1, 3, 48, 48)
    trip = transmit(DeepJscc(f"weights={tmp_path}"), image, Fraction(1, 48), load_channel("awgn"), 10.0)
    assert trip.decoded.images.shape == image.shape


def test_a_configuration_of_the_user_in_the_run_folder_is_kept(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("loop: {steps: 3}  # enough\n")
    _keep_config(config, {"loop": {"steps": 3}})
    assert config.read_text() == "loop: {steps: 3}  # enough\n"
    _keep_config(config, {"loop": {"steps": 4}})
    assert (tmp_path / "config.earlier-1.yaml").read_text() == "loop: {steps: 3}  # enough\n"
    (tmp_path / "stage-1").mkdir()  # from now on it is the run's
    _keep_config(config, {"loop": {"steps": 5}})
    assert config.read_text() == "loop:\n  steps: 5\n"
    assert len(list(tmp_path.glob("config*"))) == 2


def test_weights_that_go_on_keep_the_history_of_those_they_started_from(inputs, run_dir, tmp_path):
    config, images = inputs
    DeepJsccSystem().export(config, run_dir, tmp_path)
    first = json.loads((tmp_path / "deepjscc-1-48.json").read_text())["training"]
    start = tmp_path / "deepjscc-1-48"
    stage = (
        f"  - {{uses: 16, start: {start}, fading: 0.5, snr_db: [-1, 16], release: deepjscc-1-48, loop: {{steps: 3}}}}\n"
    )
    again = tmp_path / "again.yaml"
    again.write_text(CONFIG[: CONFIG.index("stages:")] + "stages:\n" + stage)
    DeepJsccSystem().train(again, [images], tmp_path / "run")
    for _ in range(2):  # released over the weights that it started from, and once more
        DeepJsccSystem().export(again, tmp_path / "run", tmp_path)
    card = json.loads((tmp_path / "deepjscc-1-48.json").read_text())
    assert card["training"][:2] == first
    assert [entry["steps"] for entry in card["training"]] == [30, 10, 3]
    assert "50% of the images" in card["known_limits"][0]
    assert "at -1 to 16 dB" in card["known_limits"][0]


@pytest.mark.parametrize("snr_db", ["5", "[10, 0]", "[0, 10, 20]", "[0, .nan]"])
def test_snrs_that_cannot_be_are_refused(tmp_path, snr_db):
    file = tmp_path / "odd.yaml"
    file.write_text(
        CONFIG[: CONFIG.index("stages:")] + f"stages: [{{uses: 16, snr_db: {snr_db}, loop: {{steps: 1}}}}]\n"
    )
    with pytest.raises(UserError, match=r"'snr_db' of stage 1 is .*write the lowest and the highest"):
        DeepJsccSystem().train(file, [], tmp_path / "run")


def test_weights_to_start_from_must_fit(inputs, tmp_path):
    _, images = inputs
    file, run_dir = tmp_path / "start.yaml", tmp_path / "run"

    def train(start, uses, model=""):
        text = CONFIG[CONFIG.index("loop:") : CONFIG.index("stages:")]
        file.write_text(
            f"system: deepjscc\n{model}{text}stages: [{{uses: {uses}, start: {start}, loop: {{steps: 1}}}}]\n"
        )
        DeepJsccSystem().train(file, [images], run_dir)

    with pytest.raises(UserError, match="'deepjscc-1-48' has encoder_width 64"):
        train("deepjscc-1-48", 16, "model: {encoder_width: 8}\n")
    with pytest.raises(UserError, match="cannot start from a smaller one"):
        train("deepjscc-1-48", 32)
    train("deepjscc-1-24", 16)  # a start that failed leaves no trace in the history
    assert json.loads((run_dir / "stage-1" / "origin.json").read_text())["name"] == "deepjscc-1-24"
    with pytest.raises(UserError, match="trained with other start, start_weights; restore them"):
        train("deepjscc-1-16", 16)
    assert json.loads((run_dir / "stage-1" / "origin.json").read_text())["name"] == "deepjscc-1-24"


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("stages.2.fading=0.5", r"'.*stage-2/checkpoint.safetensors' was trained with other fading;"),
        ("stages.1.uses=[16, 32, 64]", "stage-1.* other uses;"),
        ("stages.2.snr_db=[0, 10]", "stage-2.* other snr_db;"),
        ("model.decoder_width=16", r"stage-1.* other model\.decoder_width;"),
        ("stages.2.start=null", "stage-2.* other start;"),
    ],
)
def test_run_of_another_configuration_is_neither_continued_nor_released(inputs, run_dir, tmp_path, override, changed):
    """Whichever stage is asked for: the record in the folder, the configuration in it and a card stay one story."""
    config, images = inputs
    before = (run_dir / "config.yaml").read_bytes()
    for stage in (None, 5):
        with pytest.raises(UserError, match=changed):
            DeepJsccSystem().train(config, [images], run_dir, [override], stage)
    assert (run_dir / "config.yaml").read_bytes() == before
    with pytest.raises(UserError, match=changed):
        DeepJsccSystem().export(config, run_dir, tmp_path / "released", [override])
    assert not (tmp_path / "released").exists()


def test_another_loop_leaves_the_configuration_of_the_run_as_it_is(inputs, run_dir):
    config, images = inputs
    before = (run_dir / "config.yaml").read_bytes()
    with pytest.raises(UserError, match=r"stage-1.* other batch;"):
        DeepJsccSystem().train(config, [images], run_dir, ["loop.batch=2"])
    with pytest.raises(UserError, match="holds a run"):
        DeepJsccSystem().train(config, [images], run_dir, ["loop.steps=99"], resume="never")
    assert (run_dir / "config.yaml").read_bytes() == before


def test_run_of_another_format_is_neither_continued_nor_released(inputs, run_dir, tmp_path):
    config, images = inputs
    shutil.copytree(run_dir, tmp_path / "run")
    path = tmp_path / "run" / "stage-2" / CHECKPOINT
    old = load_checkpoint(path)
    save_checkpoint(path, old.tensors, old.record | {"format": 0})
    with pytest.raises(UserError, match=r"stage-2.*\(format 0, expected 1\)"):
        DeepJsccSystem().export(config, tmp_path / "run", tmp_path / "released")
    with pytest.raises(UserError, match=r"stage-2.*\(format 0, expected 1\)"):
        DeepJsccSystem().train(config, [images], tmp_path / "run", ["stages.2.loop.steps=11"], stage=2)


def test_an_export_replaces_only_exports(inputs, run_dir, tmp_path, capsys):
    config, _ = inputs
    weights, card = tmp_path / "deepjscc-1-48.safetensors", tmp_path / "deepjscc-1-48.json"
    weights.write_bytes(b"mine")
    for _ in range(2):
        DeepJsccSystem().export(config, run_dir, tmp_path)
    assert capsys.readouterr().out.count("is kept as") == 1
    assert [path.read_bytes() for path in tmp_path.glob("*.earlier-*")] == [b"mine"]
    card.write_text("my notes")
    DeepJsccSystem().export(config, run_dir, tmp_path)
    assert (tmp_path / "deepjscc-1-48.earlier-1.json").read_text() == "my notes"


def test_weights_that_took_the_name_of_the_start_must_have_gone_on_from_it(inputs, run_dir, tmp_path):
    config, images = inputs
    DeepJsccSystem().export(config, run_dir, tmp_path)
    first = (tmp_path / "deepjscc-1-48.json").read_bytes()
    again, start = tmp_path / "again.yaml", tmp_path / "deepjscc-1-48"
    stage = f"  - {{uses: 16, start: {start}, release: deepjscc-1-48, loop: {{steps: 3}}}}\n"
    again.write_text(CONFIG[: CONFIG.index("stages:")] + "stages:\n" + stage)
    DeepJsccSystem().train(again, [images], tmp_path / "run")
    DeepJsccSystem().export(again, tmp_path / "run", tmp_path)
    (longer,) = DeepJsccSystem().train(again, [images], tmp_path / "run", ["stages.1.loop.steps=4"])
    assert longer.step == 4
    identity = load_checkpoint(tmp_path / "run" / "stage-1" / CHECKPOINT).record["identity"]
    assert (identity["start"], identity["start_weights"]) == (str(start), json.loads(first)["sha256"])
    stranger = json.loads(first) | {"sha256": "0" * 64}
    (tmp_path / "deepjscc-1-48.json").write_text(json.dumps(stranger))
    with pytest.raises(UserError, match="other start_weights;"):
        DeepJsccSystem().export(again, tmp_path / "run", tmp_path / "released")


def test_finished_stages_are_not_run_again(inputs, run_dir):
    config, images = inputs
    before = (run_dir / "stage-1" / CHECKPOINT).read_bytes()
    results = DeepJsccSystem().train(config, [images], run_dir)
    assert [result.step for result in results] == [30, 10, 2, 2, 2]
    assert (run_dir / "stage-1" / CHECKPOINT).read_bytes() == before


def test_same_command_gives_the_same_weights(inputs, run_dir, tmp_path):
    config, images = inputs
    DeepJsccSystem().train(config, [images], tmp_path, stage=1)
    first = load_checkpoint(run_dir / "stage-1" / CHECKPOINT).tensors
    again = load_checkpoint(tmp_path / "stage-1" / CHECKPOINT).tensors
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_training_from_random_weights_raises_psnr(inputs, tmp_path):
    torch.manual_seed(0)
    small = {"encoder_width": 8, "encoder_blocks": 1, "decoder_width": 8, "decoder_blocks": 1, "detail_width": 8}
    trainee = DeepJsccTrainee(DeepJsccNet(NetConfig(uses=16, **small)), Conditions((16,)))
    store = load_images([inputs[1]])
    options = {"batch": 4, "crop": 32, "warmup": 5, "learning_rate": 3e-3, "validation_crop": 48}
    start = run(trainee, store, LoopConfig(steps=1, **options), tmp_path / "start")
    end = run(trainee, store, LoopConfig(steps=60, **options), tmp_path / "end")
    assert end.best["psnr_db"] > start.best["psnr_db"] + 3


def test_stage_needs_the_one_it_starts_from(inputs, tmp_path):
    config, images = inputs
    with pytest.raises(UserError, match="stage 1 has not been trained"):
        DeepJsccSystem().train(config, [tmp_path / "no images"], tmp_path, stage=2)
    with pytest.raises(UserError, match="stages 1 to 5"):
        DeepJsccSystem().train(config, [images], tmp_path, stage=6)
    with pytest.raises(UserError, match="train first"):
        DeepJsccSystem().export(config, tmp_path, tmp_path)


def test_minutes_are_shared_in_proportion():
    shared = share_minutes([LoopConfig(minutes=1), LoopConfig(minutes=3)], 8)
    assert [loop.minutes for loop in shared] == [2, 6]
    assert [loop.minutes for loop in share_minutes([LoopConfig(steps=30), LoopConfig(steps=10)], 8)] == [6, 2]
    shared = share_minutes([LoopConfig(steps=10), LoopConfig(minutes=3)], 8)
    assert [(loop.minutes, loop.steps) for loop in shared] == [(4, None), (4, None)]


def test_configurations_are_found_by_name_and_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from the checkout
    config = read_config(Path("experiments/train/deepjscc.yaml"), ["loop.batch=3", "stages.2.loop.minutes=0.5"])
    assert config["loop"]["batch"] == 3
    assert config["stages"][1]["loop"]["minutes"] == 0.5


def test_a_training_has_stages(tmp_path):
    (tmp_path / "none.yaml").write_text("system: lrisc")
    with pytest.raises(UserError, match="needs a 'stages' list"):
        read_config(tmp_path / "none.yaml")


def test_loop_of_a_stage_overrides_that_of_the_file():
    file, stage = {"loop": {"steps": 1, "batch": 3}}, {"loop": {"batch": 2, "learning_rate": 1e-3}}
    assert stage_loop(file, stage) == LoopConfig(steps=1, batch=2, learning_rate=1e-3)
    for sections in ({"loop": {"bach": 3}}, {}), ({}, {"loop": {"bach": 3}}):
        with pytest.raises(UserError, match="unknown key 'bach' in 'loop'"):
            stage_loop(*sections)


def test_a_stage_starts_from_an_earlier_one_from_released_weights_or_from_nothing():
    starts = [stage_start(one, 3, "lrisc") for one in ({}, {"start": 2}, {"start": "lrisc-compact"})]
    assert [(one.said, one.stage) for one in starts] == [(None, None), (2, 2), ("lrisc-compact", None)]
    assert [one.identity["start_weights"] for one in starts] == [None, None, read_card("lrisc-compact")["sha256"]]
    for start in 0, 3, 1.0, True, [1]:  # a number that is almost a stage must not begin from nothing
        with pytest.raises(UserError, match=r"'start' of stage 3 must be an earlier stage .* not"):
            stage_start({"start": start}, 3, "lrisc")
