"""`keras:ENCODER.keras,DECODER.keras[:OPTION...]`: two Keras 3 models as a codec.

Images are float32 NHWC in [0, 1]. A second input of either model is given the SNR in dB, float32 [B, 1]. What the
encoder gives for an image, flattened, is 2 k reals. Models with a fixed H and W get the image in tiles of that size.
"""

import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulator.codecs.files import METHODS, OPTIONAL, read_source, run_file, within
from simulator.codecs.symbol import CodecScheme, SymbolCodec, one_line
from simulator.disk import user_path
from simulator.errors import UserError
from simulator.spec.options import Choice, Declaration, Number, Text, declares

DECLARATION = Declaration(
    "keras",
    "a codec of two Keras model files",
    {
        "layout": Choice(
            ("interleaved", "halves"), "where the imaginary parts of a code are: beside or after the real"
        ),
        "power": Number(1, 0.01, 100, help="mean power per complex symbol at which the models were trained"),
        "layers": Text("FILE.py", "registers the layers that the models need"),
    },
    form="ENCODER.keras,DECODER.keras",
)
TILES = 64  # that a model sees at once
STRIDES = (1, 2, 4, 8, 16, 32, 64, 128)


@declares(DECLARATION)
def load_keras(*options: str) -> CodecScheme:
    """The scheme that `keras:` names; entry point of the group `simulator.schemes`.

    Options: `layout=halves` when the first half of a code holds the real parts and the second the imaginary ones,
    instead of in alternation; `power=P` when the models were trained at mean power P per complex symbol, instead
    of 1; `layers=FILE.py`, which registers the layers that the models need.

    Raises:
        UserError: no Keras, no such file, or models that are no codec.
    """
    spec = ":".join(["keras", *options])
    files, *rest = options or ("",)
    encoder, _, decoder = files.partition(",")
    if not encoder.endswith(".keras") or not decoder.endswith(".keras") or "," in decoder:
        hint = "write keras:ENCODER.keras,DECODER.keras; Keras 3's model.save('NAME.keras') writes such files, "
        raise UserError(f"'{spec}' names no pair of models; {hint}and other formats are not read")
    chosen = DECLARATION.read(rest)
    paths = (user_path(encoder), user_path(decoder))
    contents = [hashlib.sha256(read_source(path)).hexdigest() for path in paths]
    backend = import_keras().backend.backend()
    ran = [run_file(user_path(chosen["layers"]))] if chosen["layers"] else []
    contents += [digest for digest, _ in ran]
    name = DECLARATION.spell(chosen, f"keras:{files}")
    fingerprint = hashlib.sha256(" ".join(contents).encode()).hexdigest()
    with ExitStack() as stack:
        for _, project in ran:
            stack.enter_context(project.entered(telling=True))  # both models are known
        scheme = CodecScheme(KerasCodec(*paths, chosen["layout"], chosen["power"]), name, f"{fingerprint}-{backend}")
    for _, project in ran:
        scheme = within(scheme, project, *METHODS["scheme"], *OPTIONAL)
    return scheme


def import_keras() -> Any:
    """Keras, on torch unless KERAS_BACKEND says otherwise: so results do not depend on what else is installed.

    Raises:
        UserError: Keras or its backend is not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", os.environ.get("OMP_NUM_THREADS", "0"))
    try:
        import keras
    except ImportError as error:
        extra = "tensorflow" if backend == "tensorflow" else "keras"
        cause = f"KERAS_BACKEND={backend} cannot be used" if error.name != "keras" else "Keras is not installed"
        raise UserError(f"{cause} ({error}); install it with: pip install -e '.[{extra}]'") from None
    except ValueError as error:
        raise UserError(f"KERAS_BACKEND={backend} cannot be used ({one_line(error)}); unset it") from None
    return keras


class KerasCodec(SymbolCodec):
    """An encoder and a decoder in Keras, image by image and tile by tile."""

    def __init__(self, encoder: Path, decoder: Path, layout: str = "interleaved", power: float = 1.0) -> None:
        """Load and check both models.

        Args:
            encoder, decoder: `.keras` files.
            layout: "interleaved" or "halves", see `load_keras`.
            power: mean power per complex symbol at which the models were trained.

        Raises:
            UserError: a model that cannot be read safely, or two that do not belong together.
        """
        self._paths = (encoder, decoder)
        self._halves = layout == "halves"
        self._amplitude = power**0.5
        self.to("cpu")
        self._tile = _fixed_size(self._encoder, encoder)
        if self._tile:
            self._check_sizes(self._tile)

    def to(self, device: str) -> "KerasCodec":
        """Load the models on another device; returns the codec."""
        self._device = device.replace("cuda", "gpu")
        with import_keras().device(self._device):
            self._encoder, self._decoder = (load_model(path) for path in self._paths)
        self._code_shape = cache(self._find_code_shape)
        self._stride = cache(self._find_stride)
        return self

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """Whole tiles; or, for models of any size, multiples of the smallest power of two that keeps the size.

        Raises:
            UserError: the decoder never returns the size that the encoder received.
        """
        rows, columns = self._tile or self._stride(size)
        return -(-size[0] // rows) * rows, -(-size[1] // columns) * columns

    def encode(self, images: torch.Tensor, snr_db: float) -> torch.Tensor:
        """Images [1, 3, H, W] to complex64 [1, k], tile by tile in reading order."""
        (rows, columns), pixels = self._tile or images.shape[2:], images[0].permute(1, 2, 0).cpu().numpy()
        height, width = pixels.shape[:2]
        tiles = pixels.reshape(height // rows, rows, width // columns, columns, 3).swapaxes(1, 2)
        codes = self._run(self._encoder, tiles.reshape(-1, rows, columns, 3), snr_db)
        if not np.issubdtype(codes.dtype, np.floating) or codes[0].size % 2:
            raise UserError(f"'{self._paths[0]}' gives {codes.dtype} {codes.shape[1:]} per image, not 2 k reals")
        flat = codes.reshape(len(codes), -1).astype(np.float32)
        real, imaginary = np.split(flat, 2, 1) if self._halves else (flat[:, ::2], flat[:, 1::2])
        return torch.complex(torch.tensor(real), torch.tensor(imaginary)).reshape(1, -1)

    def decode(
        self, symbols: torch.Tensor, snr_db: float, noise_variance: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        """Complex64 [1, k] to images [1, 3, H, W]; the models do not receive the noise of single symbols."""
        rows, columns = self._tile or size
        down, across = size[0] // rows, size[1] // columns
        parts = symbols.cpu().numpy().reshape(down * across, -1) * self._amplitude
        pairs = np.stack([parts.real, parts.imag], 1 if self._halves else 2)
        codes = pairs.reshape(len(parts), *self._code_shape((rows, columns)))
        tiles = self._run(self._decoder, codes, snr_db)
        if tiles.shape[1:] != (rows, columns, 3):
            raise UserError(f"'{self._paths[1]}' gives pictures {tiles.shape[1:]} of {(rows, columns, 3)}")
        image = tiles.reshape(down, across, rows, columns, 3).swapaxes(1, 2).reshape(*size, 3)
        return torch.tensor(image.astype(np.float32)).permute(2, 0, 1)[None]

    def _run(self, model: Any, values: np.ndarray, snr_db: float) -> np.ndarray:
        keras = import_keras()
        outputs = []
        with keras.device(self._device):
            for start in range(0, len(values), TILES):
                part = values[start : start + TILES].astype(np.float32)
                snr = np.full((len(part), 1), snr_db, np.float32)
                inputs = [keras.ops.convert_to_tensor(one) for one in (part, snr)[: len(model.inputs)]]
                output = model(inputs if len(inputs) > 1 else inputs[0], training=False)
                outputs.append(keras.ops.convert_to_numpy(output))
        return np.concatenate(outputs)

    def _check_sizes(self, size: tuple[int, int]) -> None:
        back = _output_shape(self._decoder, (1, *self._code_shape(size)))
        if back[1:] != (*size, 3):
            raise UserError(
                f"'{self._paths[1]}' gives pictures of shape {back[1:]}, "
                f"'{self._paths[0]}' takes {(*size, 3)}; the pair must give back what it got"
            )

    def _find_code_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Shape in which the decoder takes the code of one image of (H, W), which both ends find the same way.

        Raises:
            UserError: the decoder does not take what the encoder gives.
        """
        given = _output_shape(self._encoder, (1, *size, 3))[1:]
        wanted = tuple(self._decoder.inputs[0].shape)[1:]
        if None in wanted and len(wanted) == len(given):
            wanted = tuple(own if own is not None else other for own, other in zip(wanted, given, strict=True))
        if None in wanted or math.prod(wanted) != math.prod(given):
            raise UserError(
                f"'{self._paths[0]}' gives {given} for a picture of {(*size, 3)}, '{self._paths[1]}' takes {wanted}; "
                "the two must belong together"
            )
        return wanted

    def _find_stride(self, size: tuple[int, int]) -> tuple[int, int]:
        for stride in STRIDES:
            height, width = (-(-side // stride) * stride for side in size)
            if _output_shape(self._decoder, (1, *self._code_shape((height, width))))[1:] == (height, width, 3):
                return stride, stride
        self._check_sizes(size)
        raise AssertionError("a stride that was not found")


def load_model(path: Path) -> Any:
    """Load a `.keras` file without running code that it brings.

    Raises:
        UserError: no Keras 3 file, Lambda layers, custom objects that nobody registered, or not one picture or code
            (and maybe the SNR) to one output.
    """
    keras = import_keras()
    _check_config(path, keras)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(f"cannot load '{path}': {one_line(error)}") from error
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if len(inputs) not in (1, 2) or len(outputs) != 1:
        found = f"{len(inputs)} inputs and {len(outputs)} outputs"
        raise UserError(f"'{path}' has {found}; a picture or code, perhaps the SNR in dB, and one output are needed")
    if len(inputs) == 2 and tuple(inputs[1].shape) != (None, 1):
        raise UserError(f"the second input of '{path}' is {tuple(inputs[1].shape)}; the SNR in dB comes as (None, 1)")
    return model


def _check_config(path: Path, keras: Any) -> None:
    """Refuse what would run code of the file, before Keras reads it."""
    try:
        with zipfile.ZipFile(path) as archive:
            objects = list(_objects(json.loads(archive.read("config.json"))))
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError):
        # RuntimeError: encrypted, of an unknown compression, or nested too deeply.
        raise UserError(f"'{path}' is no Keras 3 file; write one with model.save('NAME.keras')") from None
    for one in objects:
        kind, name = one["class_name"], one.get("registered_name")
        if kind in ("Lambda", "__lambda__"):
            raise UserError(f"'{path}' has a Lambda layer, code that is not run; use a registered layer, or keras.ops")
        origin = str(one.get("module") or "keras").partition(".")[0]
        if origin not in ("keras", "builtins") and keras.saving.get_registered_object(str(name)) is None:
            hint = "register it with keras.saving.register_keras_serializable in a file and name that, layers=FILE.py"
            raise UserError(f"'{path}' has a custom object '{name or kind}' that is not registered; {hint}")


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that a configuration describes, at any depth."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for one in config:
            yield from _objects(one)


def _fixed_size(model: Any, path: Path) -> tuple[int, int] | None:
    """(H, W) of the pictures that an encoder takes, None if any will do."""
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or (shape[1] is None) != (shape[2] is None):
        raise UserError(f"'{path}' takes {shape}; an encoder takes pictures as (None, H, W, 3), or any H and W as None")
    return None if shape[1] is None else (shape[1], shape[2])


def _output_shape(model: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a model makes of its first input of a shape."""
    return tuple(model.compute_output_shape([shape, (shape[0], 1)] if len(model.inputs) > 1 else shape))
