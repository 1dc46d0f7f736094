"""Image sets, how files are read, and public data from its official places."""

from simulator.images.sets import (
    SAMPLES,
    NamedImage,
    group_by_size,
    kodak_folder,
    load_image,
    load_image_set,
    sample_files,
)

__all__ = ["SAMPLES", "NamedImage", "group_by_size", "kodak_folder", "load_image", "load_image_set", "sample_files"]
