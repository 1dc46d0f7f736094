"""torchvision beside the CPU build of torch."""

import importlib
import sys
from types import ModuleType

import torch

_operators: list[torch.library.Library] = []  # kept alive


def import_with_torchvision(name: str) -> ModuleType:
    """Import a module that imports torchvision but runs none of its operators.

    torchvision's wheels from PyPI are built for the CUDA build of torch; beside the CPU build their operators are not
    registered and the import fails. Declaring the two that are looked up is enough.
    """
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for module in [one for one in sys.modules if one.split(".")[0] in {"torchvision", name.split(".")[0]}]:
        del sys.modules[module]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _operators.append(library)  # the definitions vanish with the library
    return importlib.import_module(name)
