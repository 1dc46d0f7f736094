"""An end-to-end simulator for learned wireless image transmission."""

from typing import TYPE_CHECKING, Any

from simulator.surroundings import drop_lost_settings
from simulator.version import __version__

if TYPE_CHECKING:
    from simulator.front import load_channel, load_image, load_results, load_scheme, send

drop_lost_settings()

# `sweep` is a folder as well, which is callable: `simulator.sweep("0:15", out="run")`.
__all__ = ["__version__", "load_channel", "load_image", "load_results", "load_scheme", "send", "sweep"]


def __getattr__(name: str) -> Any:
    """Load the front door when it is first used, so that `import simulator` stays instant."""
    from importlib import import_module

    if name in __all__[1:-1]:
        return getattr(import_module("simulator.front"), name)
    if name == "sweep":
        return import_module("simulator.sweep")
    raise AttributeError(f"module 'simulator' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
