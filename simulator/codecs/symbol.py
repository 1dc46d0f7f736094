"""Codecs in the form in which learned ones are mostly published: image to symbols, noisy symbols to image.

Such a codec knows nothing of budgets, bills and fading. `CodecScheme` does for it what the link asks of a scheme.
"""

import hashlib
import math
import sysconfig
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import torch
from torch.nn import functional

from simulator.channels import Received
from simulator.errors import SchemeError, UserError
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission
from simulator.spec.shown import Named

REVISION = 1  # of what this file puts on the air and takes from it
MIN_STRENGTH = 1e-6  # of |h|^2 when gains are divided out
PROBE_SIZE = (64, 64)  # of the image that tells how many symbols a codec sends
PROBE_SNR_DB = 10.0


class SymbolCodec(ABC):
    """An encoder and a decoder; derive from it, alone or together with `torch.nn.Module`.

    Images come one at a time (B = 1), so that no image changes another's power. A method `to(device)` is used if there
    is one, and so is a method `fingerprint() -> str`: all that changes results besides the file of the class, its
    options, and the weights that the object holds (`simulator.codecs.held`), which are always covered.

    Attributes:
        stride: sides of images are padded to multiples of it (by repeating the edge), and cropped back.
    """

    stride: int = 1

    @abstractmethod
    def encode(self, images: torch.Tensor, snr_db: float) -> torch.Tensor:
        """Turn images into symbols.

        Args:
            images: float32 [B, 3, H, W] in [0, 1], RGB; H and W are multiples of `stride`.
            snr_db: average Es/N0 in dB.

        Returns:
            Complex [B, ...] with k entries per image, or real with 2 k, of which two neighbours are one symbol.
            They need not be normalised: every image is scaled to mean power 1 per complex symbol.
        """

    @abstractmethod
    def decode(
        self, symbols: torch.Tensor, snr_db: float, noise_variance: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        """Turn what was received into images.

        Args:
            symbols: complex64 [B, k], of mean power 1 before the noise; the channel's gain is divided out already.
            snr_db: average Es/N0 in dB.
            noise_variance: float32 [B, k], of each complex symbol after that division.
            size: (H, W) of the images that `encode` was given.

        Returns:
            Real [B, 3, H, W]; values outside [0, 1] are clipped.
        """

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (H, W) to which an image is padded."""
        height, width = (-(-side // self.stride) * self.stride for side in size)
        return height, width


class CodecScheme(Named):
    """A `SymbolCodec` as a scheme: pads, scales to mean power 1, bills, equalises, crops, and keeps to the budget.

    All symbols are payload, but for the share of pixels that only padding added. A codec that sends fewer symbols than
    allowed is billed for what it sends.
    """

    def __init__(self, codec: SymbolCodec, name: str, fingerprint: str) -> None:
        """name: full specification; fingerprint: of all that changes results besides this file."""
        self.name = name
        self._codec = codec
        self._fingerprint = fingerprint
        self._device = "cpu"

    def to(self, device: str) -> "CodecScheme":
        """Compute on another torch device, if the codec can be moved; returns the scheme."""
        if move := getattr(self._codec, "to", None):
            move(device)
            self._device = device
        return self

    def fingerprint(self) -> str:
        """What the codec is, and how it is brought on the air."""
        return f"{self._fingerprint}-air{REVISION}"

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can; found out on a small image."""
        size = self._codec.padded(PROBE_SIZE)
        ramp = torch.linspace(0, 1, 3 * math.prod(size)).reshape(3, *size)
        uses = len(self._symbols(ramp, PROBE_SNR_DB))
        ratio = Fraction(uses, 3 * math.prod(size))
        if ratio <= cbr:
            return None
        return f"it sends {uses} symbols for an image of {_by(size)}; ask for CBR {_at_least(ratio)} or more"

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Encode float32 images [B, 3, H, W] into at most `budget` symbols each, of mean power 1.

        Raises:
            UserError: the codec sends more symbols than allowed.
            SchemeError: it fails, or its symbols are not finite.
        """
        size = (images.shape[-2], images.shape[-1])
        sent = [self._symbols(image, state.snr_db) for image in images]
        for symbols in sent:
            if len(symbols) > budget:
                raise UserError(self._excess(len(symbols), budget, size))
        return Transmission([_of_unit_power(one) for one in sent], [self._bill(len(one), size) for one in sent])

    def decode(self, reception: Reception) -> Decoded:
        """Rebuild the images from received symbols, channel state and image size.

        Raises:
            SchemeError: the codec fails, or returns no images of the size that went in.
        """
        images = [self._decode_one(one, reception) for one in reception.received]
        return Decoded(torch.stack(images), [False] * len(images))

    def _symbols(self, image: torch.Tensor, snr_db: float) -> torch.Tensor:
        """What the codec makes of one image [3, H, W]: complex64 [k], not yet scaled."""
        height, width = self._codec.padded((image.shape[-2], image.shape[-1]))
        padding = (0, width - image.shape[-1], 0, height - image.shape[-2])
        padded = functional.pad(image[None].float().to(self._device), padding, mode="replicate")
        with explained(f"{self.name}: encode failed", SchemeError):
            code = self._codec.encode(padded, snr_db)
        if not isinstance(code, torch.Tensor) or not (code.is_complex() or code.is_floating_point()):
            kind = code.dtype if isinstance(code, torch.Tensor) else type(code).__name__
            raise SchemeError(f"{self.name}: encode must return a real or complex tensor, not {kind}")
        if code.shape[:1] != (1,) or not (code.is_complex() or code.numel() % 2 == 0):
            shape = tuple(code.shape)
            raise SchemeError(f"{self.name}: encode must return 2 k reals or k complex per image, not {shape}")
        flat = code.detach().cpu().flatten()
        pairs = flat if code.is_complex() else torch.view_as_complex(flat.float().reshape(-1, 2))
        if not pairs.isfinite().all():
            raise SchemeError(f"{self.name}: encode returned symbols that are not finite (NaN or infinity)")
        return pairs.to(torch.complex64)

    def _decode_one(self, received: Received, reception: Reception) -> torch.Tensor:
        size, snr_db = reception.image_size, reception.state.snr_db
        padded = self._codec.padded(size)
        strength = received.gain.abs().square().clamp(min=MIN_STRENGTH)
        symbols = (received.gain.conj() * received.symbols / strength)[None].to(self._device)
        variance = (received.noise_variance / strength)[None].to(self._device)
        with explained(f"{self.name}: decode failed", SchemeError):
            images = self._codec.decode(symbols, snr_db, variance, padded)
        if not isinstance(images, torch.Tensor) or images.shape != (1, 3, *padded) or images.is_complex():
            got = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
            raise SchemeError(f"{self.name}: decode must return real {(1, 3, *padded)}, not {got}")
        return images[0, :, : size[0], : size[1]].detach().float().clamp(0, 1).cpu()

    def _bill(self, uses: int, size: tuple[int, int]) -> SymbolLedger:
        true_share = math.prod(size) / math.prod(self._codec.padded(size))
        return SymbolLedger.apportion(uses, payload=true_share, padding=1 - true_share)

    def _excess(self, uses: int, budget: int, size: tuple[int, int]) -> str:
        padded = self._codec.padded(size)
        cause = "" if padded == size else f" (padded to {_by(padded)}: --crop to whole tiles or strides avoids it)"
        ratio = _at_least(Fraction(uses, 3 * math.prod(size)))
        return (
            f"scheme '{self.name}' sends {uses} symbols for an image of {_by(size)}{cause}, "
            f"{budget} are allowed; ask for CBR {ratio} or more"
        )


def weights_digest(module: torch.nn.Module) -> str:
    """SHA-256 (hex) of a module's parameters and buffers, with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        tensor = value.detach().cpu().contiguous() if isinstance(value, torch.Tensor) else None
        digest.update(repr((name, value if tensor is None else (tensor.dtype, tuple(tensor.shape)))).encode())
        if tensor is not None:
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def explained(what: str, kind: type[Exception] = UserError) -> Iterator[None]:
    """Turn what a user's code raises inside the block into one line, with the place where it was raised.

    Raises:
        kind: `what`, the error's type, its first line and its place.
        UserError: the same, for a module or a file that is missing.
        MemoryError, torch.OutOfMemoryError: unchanged.
    """
    try:
        yield
    except (UserError, SchemeError, MemoryError, torch.OutOfMemoryError):
        raise
    except (ImportError, OSError) as error:
        raise UserError(f"{what}: {one_line(error)}") from error
    except Exception as error:
        raise kind(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Type, first line and place of an error: the last frame that belongs neither to a library nor to this program."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_library(frame.filename)]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}{place}"


def _is_library(file: str) -> bool:
    installed = "site-packages" in file or Path(file).is_relative_to(sysconfig.get_path("stdlib"))
    return installed or file.startswith("<") or Path(file).is_relative_to(Path(__file__).parents[1])


def _of_unit_power(symbols: torch.Tensor) -> torch.Tensor:
    power = symbols.abs().double().square().mean() if len(symbols) else torch.zeros(())
    return symbols * power.rsqrt().float() if power > 0 else symbols


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _at_least(ratio: Fraction) -> str:
    """A bandwidth ratio as a user would write it, rounded up if it is no short fraction."""
    short = ratio if ratio.denominator <= 1000 else Fraction(math.ceil(ratio * 10_000), 10_000)
    return str(short) if short.denominator <= 1000 else f"{float(short):.4f}"
