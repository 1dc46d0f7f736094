"""One image file as 8-bit RGB.

16-bit samples are scaled to 8 bits, grey is repeated to RGB, palettes are expanded, alpha is composited on white (as a
browser shows it), EXIF orientation is applied, embedded colour profiles are ignored. Float, 32-bit, CMYK and Lab
pixels, animations and multi-page files are refused.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from simulator.errors import UserError

MIN_SIDE = 16


STRIP = 512  # rows converted at a time


MAX_PIXELS = 2**26  # 8192 x 8192; asked before anything is decoded, for a small file may claim any size


_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}


_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "YCbCr"}


def load_image(path: Path | str) -> np.ndarray:
    """Read one image file as uint8 [H, W, 3] RGB, upright; the module's docstring says what becomes of other modes.

    Raises:
        UserError: missing, unreadable, corrupt, too large, smaller than 16 x 16, or of a refused kind.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                image.verify()  # the only check of a PNG's checksums; it leaves the file unusable
            with Image.open(path) as image:
                rgb = _to_rgb(image, path)
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(f"{path}: more than {MAX_PIXELS // 10**6} megapixels; scale the image down") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not an image, or damaged; expected PNG, JPEG, WebP or TIFF") from None
    except Exception as error:  # on damaged files Pillow's readers let out errors of many kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{path}: cannot be read as an image ({reason}); replace or remove it") from None
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise UserError(f"{path}: {width}x{height} is too small; images must be at least {MIN_SIDE}x{MIN_SIDE}")
    return rgb


def _to_rgb(image: Image.Image, path: Path) -> np.ndarray:
    """Bring an open image to uint8 [H, W, 3]."""
    # A phone's JPEG may carry a preview as second frame (MPO).
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise UserError(f"{path}: has several pictures; save the one you want as a separate file")
    if image.mode not in _EIGHT_BIT | _SIXTEEN_BIT:
        raise UserError(f"{path}: pixel format {image.mode} is not supported; convert it to 8- or 16-bit RGB or grey")
    ImageOps.exif_transpose(image, in_place=True)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, STRIP):  # whole copies of a large image would fill the memory
        strip = image.crop((0, top, image.width, min(top + STRIP, image.height)))
        rgb[top : top + STRIP] = _strip_to_rgb(strip)
    return rgb


def _strip_to_rgb(image: Image.Image) -> np.ndarray:
    """Some rows of an image as uint8 [h, W, 3]."""
    if image.mode in _SIXTEEN_BIT:
        grey = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in {"LA", "PA", "RGBA", "RGBa", "La"} or "transparency" in image.info:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return np.asarray(image.convert("RGB"))
