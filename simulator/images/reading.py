"""One image file as 8-bit RGB.

12- and 16-bit grey is scaled to 8 bits and of 16-bit colour the upper 8 are taken (as Pillow does), grey is repeated to
RGB, palettes are expanded, alpha and a transparent colour are composited on white (as a browser shows them; in BMP and
TGA, alpha that is zero everywhere is unused), EXIF orientation is applied unless its block is broken, embedded colour
profiles are ignored. Signed, float, 32-bit, CMYK and Lab pixels, a transparent colour of 16 bits per channel, TIFF's
separate planes where Pillow misreads them, a fourth sample of unknown meaning, previews of raw files, animations and
multi-page files are refused.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile

from simulator.errors import UserError, hindrance
from simulator.images.pixels import MIN_SIDE

STRIP = 512  # rows converted at a time


MAX_PIXELS = 2**26  # 8192 x 8192; checked before decoding, because a small file may claim any size


_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _PLANES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 274, 284, 338, 339
_SUBFILE_TYPE, _DNG_VERSION = 254, 50706  # TIFF 6.0, as those above, and Adobe's DNG 1.7
_SCALES = {"L;2": 85, "L;4": 17}  # levels of 8 bits per level of 2 and 4
_TURNS = {
    **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM},
    **{5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE},
    **{8: Image.Transpose.ROTATE_90},
}
_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}


_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "YCbCr"}


def load_image(path: Path | str) -> np.ndarray:
    """Read one image file as uint8 [H, W, 3] RGB, upright; see the module's docstring for other modes.

    Raises:
        UserError: missing, unreadable, corrupt, too large, smaller than 16 x 16, or of a refused kind.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe blocks, and can be read only once
        raise UserError(f"{path}: not a regular file; save the image to a file first")
    with quiet_decoding():
        rgb = decode_image(path, str(path))
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise UserError(f"{path}: {width}x{height} is too small; images must be at least {MIN_SIDE}x{MIN_SIDE}")
    return rgb


@contextmanager
def quiet_decoding() -> Iterator[None]:
    """Settings of Pillow for `decode_image`, whatever the user's are, and no warnings.

    Use it once around several threads, which share all of these.
    """
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = MAX_PIXELS, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a broken EXIF block
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def decode_image(
    source: Path | bytes, name: str, formats: tuple[str, ...] | None = None, lenient: bool = False
) -> np.ndarray:
    """Decode an image as uint8 [H, W, 3] RGB, within `quiet_decoding`.

    Args:
        source: a file, or its content.
        name: of the file, for messages.
        formats: those that are read, as Pillow calls them; None reads all.
        lenient: convert CMYK as Pillow does, and take the first picture of several: for training, which
            does not depend on the exact pixels.

    Raises:
        UserError: missing, unreadable, corrupt, too large, or of a refused kind.
    """

    def opened() -> Image.Image:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats)

    try:
        image = opened()
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if image.format == "PNG":
            image.verify()  # the only check of its checksums, which leaves the file unusable
            image = opened()
        with image:
            if lenient and image.mode == "CMYK":
                return np.asarray(image.convert("RGB"))
            return _to_rgb(_upright(image, name, lenient))
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(f"{name}: more than {MAX_PIXELS // 10**6} megapixels; scale the image down") from None
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except Image.UnidentifiedImageError:
        what = "not an image, damaged, or of an unsupported kind"
        expected = "PNG, JPEG, WebP or TIFF" if formats is None else ", ".join(formats)
        raise UserError(f"{name}: {what}; expected {expected}") from None
    except Exception as error:  # damaged files raise many types of errors in Pillow
        if (reason := hindrance(error)) is not None:
            raise UserError(f"{name}: cannot be read ({reason})") from None
        raise UserError(f"{name}: cannot be read as an image ({_said(error)}); replace or remove it") from None


def read_opened(image: Image.Image, name: str) -> np.ndarray:
    """An image that Pillow opened, or made, as uint8 [H, W, 3] RGB: as its file would be read, at the current frame.

    Raises:
        UserError: it is damaged, or of a refused kind; the message begins with `name`.
    """
    try:
        with quiet_decoding():
            is_file = isinstance(image, ImageFile.ImageFile)  # else its EXIF block may describe what it was made from
            return _to_rgb(_upright(image, name, lenient=True, turned=is_file))
    except UserError:
        raise
    except Exception as error:  # as in `decode_image`
        raise UserError(f"{name}: cannot be read as an image ({hindrance(error) or _said(error)})") from None


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _upright(image: Image.Image, name: str, lenient: bool = False, turned: bool = True) -> Image.Image:
    """An open image of a kind that is read, with samples of all bits and turned as its EXIF block says.

    Raises:
        UserError: the kind is not read.
    """
    # A phone's JPEG may carry a preview as second frame (MPO).
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO" and not lenient:
        raise UserError(f"{name}: has several pictures; save the one you want as a separate file")
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else ""
    raw = str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)  # how samples lie in the file
    grey = image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PPM")  # which Pillow scales to 16 bits
    if image.mode not in _EIGHT_BIT and not grey:
        raise UserError(f"{name}: pixel format {image.mode} is not supported; convert it to 8- or 16-bit RGB or grey")
    if reason := _reason_against_tiff(image):
        raise UserError(f"{name}: {reason}")
    transparent = image.info.get("transparency")
    if ";16" in raw and isinstance(transparent, tuple):
        raise UserError(f"{name}: a transparent colour of 16 bits per channel is not supported; save it with alpha")
    if raw in _SCALES and isinstance(transparent, int):  # the file counts in its own levels
        image.info["transparency"] = transparent * _SCALES[raw]
    if raw == "BGR;15" and _alpha_mask(image) == 1 << 15:  # which Pillow passes over
        assert isinstance(image, ImageFile.ImageFile)
        image._mode, image.tile = "RGBA", [image.tile[0]._replace(args=("BGRA;15", *arguments[1:]))]
    image.load()
    if image.format in {"BMP", "DIB", "TGA"} and image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        image = image.convert("RGB")
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1)) if turned else None
    except Exception:  # a broken block has no effect; the pixels are sound
        turn = None
    if grey:
        image = _eight_bit(image)
    return image if turn is None else image.transpose(turn)


def _reason_against_tiff(image: Image.Image) -> str:
    """Why a TIFF would be read otherwise than it was meant; empty if it would not, or is another file."""
    if not (tags := getattr(image, "tag_v2", {})):
        return ""
    if set(np.ravel(tags.get(_SAMPLE_FORMAT, 1))) != {1}:
        return "only samples of unsigned integers are supported; convert it to 8- or 16-bit"
    if tags.get(_DNG_VERSION) or int(tags.get(_SUBFILE_TYPE, 0)) & 1:
        return "holds a raw photograph and a preview of it; develop it and save it as 8- or 16-bit RGB"
    if image.mode in {"LA", "RGBA"} and tags.get(_EXTRA_SAMPLES, (0,))[0] not in (1, 2):
        return "does not say whether its last sample is alpha; save it with alpha, or without"
    # Pillow reads such samples one byte at a time, or the first plane only.
    tile = getattr(image, "tile", None)
    misread = image.mode == "LA" or (tile and tile[0][0] == "raw" and max(np.ravel(tags.get(_BITS_PER_SAMPLE, 8))) > 8)
    if tags.get(_PLANES) == 2 and image.mode in {"LA", "RGB", "RGBX", "RGBA"} and misread:
        return "its channels lie in separate planes; save them interleaved (planar configuration 1)"
    return ""


def _alpha_mask(image: Image.Image) -> int:
    """Which bits of a pixel are alpha in a BMP with colour masks; 0 if its header is too short to say so."""
    file: IO[bytes] = image.fp  # type: ignore[attr-defined]
    file.seek(14)
    header = file.read(56)
    return int.from_bytes(header[52:56], "little") if int.from_bytes(header[:4], "little") >= 56 else 0


def _eight_bit(image: Image.Image) -> Image.Image:
    """12- or 16-bit grey, as TIFF's tags and PNG's transparent level say, as 8-bit grey."""
    tags = getattr(image, "tag_v2", {})
    top = 2 ** int(np.ravel(tags.get(_BITS_PER_SAMPLE, 16))[0]) - 1
    samples = np.asarray(image).astype(np.uint32)
    grey = ((samples * 255 + top // 2) // top).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        grey = 255 - grey
    if (level := image.info.get("transparency")) is not None:
        grey[samples == level] = 255
    return Image.fromarray(grey)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Bring an image to uint8 [H, W, 3]."""
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, STRIP):  # whole copies of a large image would fill the memory
        strip = image if image.height <= STRIP else image.crop((0, top, image.width, min(top + STRIP, image.height)))
        rgb[top : top + STRIP] = _strip_to_rgb(strip)
    return rgb


def _strip_to_rgb(image: Image.Image) -> np.ndarray:
    """Some rows of an 8-bit image as uint8 [h, W, 3]."""
    if image.mode in {"LA", "PA", "RGBA", "RGBa", "La"} or "transparency" in image.info:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return np.asarray(image.convert("RGB"))
