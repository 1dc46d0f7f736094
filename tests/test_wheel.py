"""A plain install: the wheel holds weights, configurations and entry points, and runs from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel and nothing else of the project."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    return site


def _run(site: Path, folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_wheel_runs_from_any_folder(site: Path, tmp_path: Path, photographs: Path) -> None:
    where = _run(site, tmp_path, "-c", "import simulator.models, simulator.baselines; print(simulator.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    picture = photographs / "p0.png"
    grid = ["--snr", "10", "--cbr", "1/12", "--scheme", "deepjscc,lrisc", "--lpips", "none", "--workers", "1"]
    out = _run(site, tmp_path, "-m", "simulator", "sweep", *grid, "--images", str(picture), "--out", "results")
    assert "deepjscc" in out
    assert "lrisc" in out
    assert (tmp_path / "results" / "summary.csv").read_text().count("\n") == 3


def test_wheel_holds_configurations_and_weights(site: Path) -> None:
    shipped = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    deepjscc = [f"deepjscc-1-{one}" for one in (48, 24, 16, 12)]
    for name in ("lrisc-compact", "bpg-receiver", "pdjscc", *deepjscc):
        assert f"simulator/models/pretrained/{name}.safetensors" in shipped
        assert f"simulator/models/pretrained/{name}.json" in shipped
    for name in ("lrisc-compact", "lrisc-paper", "deepjscc", "pdjscc"):
        assert f"simulator/experiments/shipped/train/{name}.yaml" in shipped
    for name in ("page.html", "style.css", "start.js"):
        assert f"simulator/report/page/{name}" in shipped
    assert {name.partition("/")[0] for name in shipped} == {"simulator", "bin", *_information(site)}


def _information(site: Path) -> set[str]:
    return {path.name for path in site.glob("*.dist-info")}


def test_released_weights_are_small() -> None:
    weights = list((ROOT / "models" / "pretrained").glob("*.safetensors"))
    assert len(weights) >= 7
    assert sum(path.stat().st_size for path in weights) <= 40 * 2**20
