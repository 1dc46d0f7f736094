"""The format: what ships is valid, and nothing that the format lacks is swallowed."""

from fractions import Fraction
from importlib.resources import files

import pytest
import yaml

from simulator.analysis.drawings import Choice
from simulator.errors import UserError
from simulator.experiments.format import ExperimentFile
from simulator.experiments.names import experiment_names
from simulator.experiments.read import choose_experiments, read_experiment, scaled_down

GOOD = {"title": "T", "schemes": ["toy"], "snr": [0, 5]}


@pytest.fixture
def read(tmp_path):
    """Reads an experiment made of `GOOD` and changes to it."""

    def read(**changes):
        path = tmp_path / "mine.yaml"
        content = {key: value for key, value in (GOOD | changes).items() if value is not None}
        path.write_text(yaml.safe_dump(content))
        return read_experiment(str(path))

    return read


@pytest.mark.parametrize("name", experiment_names())
def test_experiments_that_ship_are_valid(name):
    experiment = read_experiment(name)
    assert experiment.name == name
    assert experiment.grid.images in ("kodak", "samples")


def test_the_papers_figures_ship():
    assert {"figure4", "figure5", "figure6", "sampler"} <= set(experiment_names())
    assert [one.name for one in choose_experiments(["all"])] == experiment_names()
    assert [one.name for one in choose_experiments(["figure5", "figure4", "figure5"])] == ["figure5", "figure4"]


def test_every_key_of_the_format_is_read(read):
    experiment = read(
        schemes=["toy", {"scheme": "toy:x", "label": "X", "snr": "0:1:0.5"}],
        snr="-5:5:5",
        cbr=["1/16", "1/48"],
        channels=["awgn", "rayleigh"],
        images="samples",
        only=["astronaut"],
        crop=64,
        realisations=3,
        seed=7,
        lpips="none",
        x="cbr",
        figures=[["psnr_db", "lpips"], "pictures", "crops"],
        crops={"astronaut": [3, 0]},
        reference="toy",
    )
    grid = experiment.grid
    assert (grid.snrs_of("toy"), grid.snrs_of("toy:x")) == ((-5.0, 0.0, 5.0), (0.0, 0.5, 1.0))
    assert grid.cbrs == (Fraction(1, 48), Fraction(1, 16))
    assert (grid.schemes, grid.channels, grid.images) == (("toy", "toy:x"), ("awgn", "rayleigh"), "samples")
    assert (grid.only, grid.crop, grid.realisations, grid.seed, grid.lpips) == (("astronaut",), 64, 3, 7, "none")
    assert (experiment.labels, experiment.references) == ({"toy:x": "X"}, ("toy",))
    assert experiment.figures == (Choice("cbr", ("psnr_db", "lpips")),)
    assert (experiment.special, experiment.corners) == (("pictures", "crops"), {"astronaut": (3, 0)})
    small = scaled_down(experiment, "kodak", 2).grid
    assert (small.images, small.only, small.limit) == ("kodak", (), 2)
    assert scaled_down(experiment, None, 1).grid.only == ("astronaut",)


def test_several_references(read):
    both = ["toy", "toy:x"]
    assert read(schemes=both, reference=both).references == ("toy", "toy:x")
    assert read().references == ()
    with pytest.raises(UserError, match=r"'reference' .* is 'other'; it must be among its schemes"):
        read(schemes=both, reference=["toy", "other"])
    with pytest.raises(UserError, match="reference"):
        read(reference=False)


def test_a_cbr_may_have_snrs_of_its_own(read):
    grid = read(cbr=["1/16", {"cbr": "1/48", "snr": [10]}]).grid
    assert grid.cbrs == (Fraction(1, 48), Fraction(1, 16))
    assert grid.snrs_of("toy", Fraction(1, 16)) == (0.0, 5.0)
    assert grid.snrs_of("toy", Fraction(1, 48)) == (10.0,)
    assert grid.record()["cbr_snrs_db"] == {"1/48": (10.0,)}


def test_a_figure_may_be_a_plane(read):
    entry = {"x": "psnr_db", "y": ["lpips", "dists"], "along": "gamma", "by": {"snr": "panels"}}
    (figure,) = read(figures=[entry | {"cbr": ["1/16"], "snr": [0, 5], "schemes": ["toy"]}]).figures
    assert figure == Choice(
        "psnr_db", ("lpips", "dists"), ("toy",), (), (0.0, 5.0), (1 / 16,), {"snr": "panels"}, "gamma"
    )


def test_readme_describes_every_key():
    text = (files("simulator.experiments") / "shipped" / "README.md").read_text()
    assert all(f"| `{key}` |" in text for key in ExperimentFile.model_fields)


BAD = {
    "unknown key": ({"sceme": ["toy"]}, "unknown key 'sceme'"),
    "unknown key of a scheme": ({"schemes": [{"scheme": "toy", "lable": "T"}]}, "unknown key 'lable'"),
    "missing key": ({"snr": None}, "'snr' is missing"),
    "scheme without name": ({"schemes": [{"label": "T"}]}, "'scheme' is missing"),
    "scheme that is a number": ({"schemes": [3]}, "3 must be text"),
    "no schemes": ({"schemes": []}, "must have at least 1 item"),
    "SNR to the base of 60": ({"snr": 315}, "315 must be a list .* or a range in quotes"),
    "SNR backwards": ({"snr": "15:0"}, "'snr': .*write the lower SNR first"),
    "CBR of 1": ({"cbr": ["1"]}, r"'cbr': .*\(0, 1/2\]"),
    "CBR as a number": ({"cbr": [0.1]}, "0.1 must be text"),
    "realisations": ({"realisations": 0}, "greater than or equal to 1"),
    "crop": ({"crop": 8}, "greater than or equal to 16"),
    "seed": ({"seed": True}, "must be a valid integer"),
    "axis": ({"x": "time"}, "must be 'snr' or 'cbr'"),
    "column": ({"figures": [["VMAF"]]}, "known: psnr_db, ms_ssim, lpips"),
    "unknown key of a figure": ({"figures": [{"y": ["lpips"], "axis": "cbr"}]}, "unknown key 'axis'"),
    "role": ({"figures": [{"y": ["lpips"], "by": {"snr": "rows"}}]}, "known: lines, panels, figures"),
    "unknown key of a CBR": ({"cbr": [{"cbr": "1/16", "snrs": [0]}]}, "unknown key 'snrs'"),
    "corner": ({"crops": {"a": [1]}}, "'a', entry 2 is missing"),
    "figures as text": ({"figures": "pictures"}, "must be a list"),
    "backbone": ({"lpips": "resnet"}, "known: alex"),
    "reference": ({"reference": "other"}, "must be among its schemes"),
    "reference alone": ({"reference": "toy"}, "no other scheme shares an SNR with it"),
    "reference at other SNRs": (
        {"schemes": ["toy", {"scheme": "toy:x", "snr": [7]}], "reference": "toy"},
        "no other scheme shares an SNR with it",
    ),
    "scheme named twice": ({"schemes": ["toy", {"scheme": "toy", "label": "T"}]}, "has 'toy' 2 times"),
    "title": ({"title": 4}, "4 must be text"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_refusals_are_one_line(read, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        read(**changes)
    assert "\n" not in str(caught.value)


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match=r"no experiment 'figure9'; known: .*figure4"):
        read_experiment("figure9")
    with pytest.raises(UserError, match=r"nonesuch\.yaml"):
        read_experiment(str(tmp_path / "nonesuch.yaml"))
    (tmp_path / "figure4.yaml").write_text(yaml.safe_dump(GOOD))
    with pytest.raises(UserError, match="two experiments are called 'figure4'"):
        choose_experiments(["figure4", str(tmp_path / "figure4.yaml")])
