"""Image sets, how files are read, and public data from its official places."""

from simulator.images.kodak import kodak_folder
from simulator.images.pixels import image_digest, to_float, to_uint8
from simulator.images.reading import load_image
from simulator.images.sets import SAMPLES, NamedImage, group_by_size, load_image_set, sample_files

__all__ = [
    "SAMPLES",
    "NamedImage",
    "group_by_size",
    "image_digest",
    "kodak_folder",
    "load_image",
    "load_image_set",
    "sample_files",
    "to_float",
    "to_uint8",
]
