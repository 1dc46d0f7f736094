"""Networks of other packages without the random weights that a file replaces at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

_RANDOM = {"uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_"}


class Blank(TorchFunctionMode):
    """Within it tensors keep what their memory holds where random numbers would fill them.

    Of VGG16, whose classifier nobody uses, that is 138 million numbers and more than a second.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping | None = None
    ) -> Any:
        """Call a function of torch, unless it draws."""
        if getattr(func, "__name__", "") in _RANDOM:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
