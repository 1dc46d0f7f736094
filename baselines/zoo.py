"""CompressAI's learned image codecs as source codecs: `compressai-ldpc:MODEL`, bound `compressai-capacity:MODEL`.

Each quality is a network of its own, from CompressAI's downloads or a local folder. A file holds the quality, the
length of every string but the last, and the strings of CompressAI's range coder. Shapes follow from the picture's size.

Source: Bégaint et al., "CompressAI: a PyTorch library and evaluation platform for end-to-end compression research",
arXiv:2011.03029, 2020.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from simulator.baselines.published.checkpoint import SUFFIXES, read_tensors
from simulator.disk import file_sha256, user_path
from simulator.errors import UserError, did_you_mean
from simulator.images.pixels import pad_to_multiple, to_float, to_uint8
from simulator.metrics.torchvision import import_with_torchvision
from simulator.separation import CodecCapacity, DigitalChain, declare_pair
from simulator.source import DamagedFile, EncodeStore, Ladder, SourceCodec, finest_that_fits
from simulator.spec.options import Choice, Declaration, Option, Text, declares

_STRIDE = 64  # sides are padded to multiples of it
_WORD = 4  # bytes that the range decoder reads for one symbol at most

_digest = lru_cache(file_sha256)

_OPTIONS: dict[str, Option] = {
    "weights": Text(
        "FOLDER", "with files such as MODEL-3.pth.tar, 3 being the quality (default: CompressAI's own download)"
    ),
    "metric": Choice(("mse", "ms-ssim"), "what CompressAI trained the downloaded weights on"),
}
_CHAIN, _BOUND = declare_pair("compressai", "a learned codec of CompressAI", _OPTIONS, "MODEL")


@declares(_CHAIN)
def chain(*options: str) -> DigitalChain:
    """The chain; entry point of the group `simulator.schemes`. Raises UserError as `ZooCodec` does."""
    name, chosen = _read(_CHAIN, options)
    return DigitalChain(ZooCodec(options[0], chosen["weights"], chosen["metric"]), name, chosen)


@declares(_BOUND)
def bound(*options: str) -> CodecCapacity:
    """The bound; entry point of the group `simulator.schemes`. Raises UserError as `ZooCodec` does."""
    name, chosen = _read(_BOUND, options)
    return CodecCapacity(ZooCodec(options[0], chosen["weights"], chosen["metric"]), name)


def _read(declaration: Declaration, options: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The canonical name and the values of the options behind the model."""
    if not options:
        raise UserError(f"'{declaration.name}' needs a model of CompressAI, such as {declaration.name}:mbt2018-mean")
    chosen = declaration.read(options[1:])
    return declaration.spell(chosen, f"{declaration.name}:{options[0]}"), chosen


class ZooCodec(SourceCodec):
    """One of CompressAI's models at all qualities that there are weights of."""

    def __init__(self, model: str, weights: str | None = None, metric: str = "mse") -> None:
        """Choose a model; its networks are loaded when they are needed.

        Args:
            model: as CompressAI calls it, such as "mbt2018-mean".
            weights: folder of files named MODEL-QUALITY, with one of `SUFFIXES`; None downloads CompressAI's.
            metric: what the downloaded weights were trained on.

        Raises:
            UserError: CompressAI is not installed, has no such model, or the folder has no weights of it.
        """
        self._zoo = _zoo()
        known = [name for name in self._zoo.image_models if name in self._zoo.image.model_architectures]
        if model not in known:
            raise UserError(f"CompressAI has no model '{model}'; known: {', '.join(known)}{did_you_mean(model, known)}")
        self.name, self._model, self._metric = f"CompressAI {model}", model, metric
        self._files = _local(user_path(weights), model) if weights else {}
        self._urls = {} if weights else self._zoo.image.model_urls[model].get(metric, {})
        self._qualities = dict(enumerate(sorted(self._files or self._urls), 1))  # levels have no gaps
        if not self._qualities:
            raise UserError(f"CompressAI offers no weights of '{model}' for metric={metric}; give weights=FOLDER")
        middle = (len(self._qualities) + 1) // 2
        self._ladder = Ladder(1, len(self._qualities), middle, 0.55)
        self._networks: dict[int, Any] = {}
        self._network(self._qualities[middle])  # weights that are not there are told before a sweep begins

    def version(self) -> str:
        """CompressAI's version, and the hashes of the weights."""
        weights = {quality: _digest(path) for quality, path in self._files.items()} or self._urls
        return f"CompressAI {metadata.version('compressai')} {self._model} {sorted(weights.items())}"

    @torch.inference_mode()
    def encode(self, rgb: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
        """The file of the highest quality that fits. Raises DoesNotFit."""
        height, width = rgb.shape[:2]
        store = EncodeStore(rgb, "compressai", self.version())
        padded = pad_to_multiple(to_float(rgb)[None], _STRIDE)

        def encode_level(level: int) -> bytes:
            return store.get(f"level{level}", lambda: self._write(padded, self._qualities[level]))

        return finest_that_fits(encode_level, max_bytes, height * width, self._ladder).data

    @torch.inference_mode()
    def decode(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """As `SourceCodec.decode`."""
        if not data or data[0] not in self._qualities.values():
            raise DamagedFile(f"{self.name}: the file names no quality that there are weights of")
        network = self._network(data[0])
        height, width = (-(-side // _STRIDE) * _STRIDE for side in size)
        shape = (height // network.downsampling_factor, width // network.downsampling_factor)
        # A damaged string may ask for more words than it has: the range decoder does not look where it ends.
        spare = bytes(_WORD * height * width)
        strings = [[part + spare] for part in _split(data[1:], _count(network), self.name)]
        image = network.decompress(strings, shape)["x_hat"][0, :, : size[0], : size[1]]
        return to_uint8(image.nan_to_num(0.5).clamp(0, 1))

    def _write(self, padded: Tensor, quality: int) -> bytes:
        strings = [each[0] for each in self._network(quality).compress(padded)["strings"]]
        lengths = b"".join(len(one).to_bytes(3, "big") for one in strings[:-1])
        return bytes([quality]) + lengths + b"".join(strings)

    def _network(self, quality: int) -> Any:
        if quality not in self._networks:
            self._networks[quality] = self._load(quality).eval()
            self._networks[quality].update(force=True)
        return self._networks[quality]

    def _load(self, quality: int) -> Any:
        if quality not in self._files:
            try:
                return self._zoo.image_models[self._model](
                    quality, metric=self._metric, pretrained=True, progress=False
                )
            except (OSError, RuntimeError) as error:
                raise UserError(
                    f"CompressAI's weights of {self._model} at quality {quality} cannot be downloaded ({error}); "
                    "fetch the file elsewhere and give its folder as weights=FOLDER"
                ) from None
        path = self._files[quality]
        state = self._zoo.load_state_dict(read_tensors(path))
        try:
            return self._zoo.image.model_architectures[self._model].from_state_dict(state)
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"'{path}' holds no weights of CompressAI's {self._model} ({reason}); give those of another model"
            ) from None


def _zoo() -> Any:
    """The module `compressai.zoo`."""
    try:
        return import_with_torchvision("compressai.zoo")
    except ImportError as error:
        raise UserError(
            f"CompressAI cannot be imported ({error}); pip install 'wireless-image-simulator[compressai]' && "
            "pip install --no-deps compressai"
        ) from None


def _local(folder: Path, model: str) -> dict[int, Path]:
    """Files MODEL-QUALITY[...] of a folder, by quality."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob(f"{model}-*")):
        quality = path.name.removeprefix(f"{model}-").split(".")[0].split("-")[0]
        if path.name.endswith(SUFFIXES) and quality.isdecimal() and 0 < int(quality) < 256:
            found[int(quality)] = path
    if not found:
        raise UserError(
            f"'{folder}' has no file such as {model}-3.pth.tar, 3 being the quality; give a folder that has"
        )
    return found


def _count(network: Any) -> int:
    """How many strings a network writes."""
    return 1 if type(network).__name__.startswith("FactorizedPrior") else 2


def _split(data: bytes, count: int, name: str) -> list[bytes]:
    """The strings of a file, without the quality in front."""
    lengths = [int.from_bytes(data[3 * place : 3 * place + 3], "big") for place in range(count - 1)]
    start, parts = 3 * (count - 1), []
    for length in lengths:
        parts.append(data[start : start + length])
        start += length
    if start > len(data):
        raise DamagedFile(f"{name}: the file is shorter than it says")
    return [*parts, data[start:]]
