"""Inception's features are torch-fidelity's; its weights, here random, are found, downloaded and checked."""

import hashlib
import pickle
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.errors import UserError
from simulator.metrics import inception
from simulator.metrics.blank import Blank
from simulator.metrics.features import load_features
from simulator.metrics.torchvision import import_with_torchvision

pytestmark = pytest.mark.skipif(find_spec("torch_fidelity") is None, reason="torch-fidelity is not installed")


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of Inception's shape that nobody trained."""
    package = import_with_torchvision(inception.MODULE)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(3)
        patch.setattr(package, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(package.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        weights = package.FeatureExtractorInceptionV3("random", ["2048"]).state_dict()
        for kernel in (one for one in weights.values() if one.dim() == 4):  # its own would give hardly any output
            kernel.copy_(torch.randn_like(kernel) * (2 / kernel[0].numel()) ** 0.5)
        torch.save(weights, path)
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights and without a server that has them; returns where the cache keeps them."""
    monkeypatch.delenv(inception.VARIABLE, raising=False)
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(inception, "WEIGHTS", replace(inception.WEIGHTS, url=f"http://127.0.0.1:9/{NAME}"))
    return tmp_path / "cache" / "features" / NAME


NAME = inception.WEIGHTS.name
PATCHES = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def _as_official(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    official = replace(inception.WEIGHTS, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(inception, "WEIGHTS", official)


def test_features_are_torch_fidelitys(random_weights: Path) -> None:
    package = import_with_torchvision(inception.MODULE)
    with Blank():
        reference = package.FeatureExtractorInceptionV3("reference", ["2048"], str(random_weights)).eval()
    with torch.inference_mode():
        (expected,) = reference(torch.from_numpy(PATCHES).permute(0, 3, 1, 2).contiguous())
    features = load_features("inception", random_weights)
    found = features(PATCHES)
    assert found.shape == (3, 2048)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    # A network in training mode would normalise by the batch.
    np.testing.assert_allclose(features(PATCHES[:1])[0], found[0], rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01


def test_other_weights_give_no_kid(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = load_features("inception", random_weights)
    assert (features.column, features.label) == ("kernel_distance_other", "kernel distance (own weights)")
    assert features.fingerprint == hashlib.sha256(random_weights.read_bytes()).hexdigest()
    _as_official(monkeypatch, random_weights.read_bytes())
    assert load_features("inception", random_weights).column == "kid"


def test_weights_are_found_by_variable_and_in_torch_hub(
    random_weights: Path, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(inception.VARIABLE, str(random_weights))
    assert not inception.Inception().official
    monkeypatch.delenv(inception.VARIABLE)
    content = random_weights.read_bytes()
    _as_official(monkeypatch, content)
    hub = tmp_path / "torch" / "hub" / "checkpoints" / inception.OTHER_NAME
    hub.parent.mkdir(parents=True)
    hub.write_bytes(content)
    assert inception.Inception().official
    hub.write_bytes(content[:-1])
    with pytest.raises(UserError, match="damaged, its SHA-256"):
        inception.Inception()


@pytest.fixture
def server(random_weights: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves the file under any name: its address, and what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(random_weights.read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}", asked
    served.shutdown()
    served.server_close()


def test_weights_are_downloaded_once(random_weights: Path, nowhere: Path, server, monkeypatch, capsys) -> None:
    address, asked = server
    monkeypatch.setattr(inception, "WEIGHTS", replace(inception.WEIGHTS, url=f"{address}/{NAME}"))
    _as_official(monkeypatch, random_weights.read_bytes())
    assert inception.Inception().official
    assert "note: downloading the weights of Inception-v3 once (" in capsys.readouterr().err
    assert inception.Inception().official
    assert asked == [f"/{NAME}"]
    assert nowhere.is_file()
    assert capsys.readouterr().err == ""


def test_a_wrong_download_is_removed(random_weights: Path, nowhere: Path, server, monkeypatch) -> None:
    wrong = replace(inception.WEIGHTS, url=f"{server[0]}/{NAME}", bytes=random_weights.stat().st_size)
    monkeypatch.setattr(inception, "WEIGHTS", wrong)
    with pytest.raises(UserError, match="wrong checksum"):
        inception.Inception()
    assert list(nowhere.parent.iterdir()) == []


def test_offline_the_error_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(UserError, match=r"cannot download .*--weights or KID_WEIGHTS, or use --features alex"):
        inception.Inception()


def test_bad_files_are_explained(tmp_path: Path, random_weights: Path) -> None:
    with pytest.raises(UserError, match="there is no file of weights"):
        inception.Inception(tmp_path / "missing.pth")
    bad = tmp_path / "bad.pth"
    for content in (b"", b"no weights", random_weights.read_bytes()[:100_000]):
        bad.write_bytes(content)
        with pytest.raises(UserError, match="not the weights of FID's Inception-v3"):
            inception.Inception(bad)
    torch.save({"fc.weight": torch.zeros(2)}, bad)
    with pytest.raises(UserError, match="not the weights of FID's Inception-v3"):
        inception.Inception(bad)


class _Intruder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    bad, trace = tmp_path / "bad.pth", tmp_path / "trace"
    bad.write_bytes(pickle.dumps(_Intruder(trace)))
    with pytest.raises(UserError, match="not the weights"):
        inception.Inception(bad)
    torch.save({"fc.weight": _Intruder(trace)}, bad)
    with pytest.raises(UserError, match="not the weights"):
        inception.Inception(bad)
    assert not trace.exists()


def test_a_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, inception.MODULE, raising=False)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UserError, match=r"needs the package torch-fidelity .*simulator\[kid\]"):
        inception.Inception()
