"""Metrics that other packages compute: imported when they are used, and explained when they are missing."""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

from simulator.errors import UserError


def import_package(metric: str, module: str, package: str) -> ModuleType:
    """Import the package behind a metric.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        install = "pip install 'wireless-image-simulator[metrics]'"
        raise UserError(f"metric '{metric}' needs the package {package} ({error}); {install}") from None


def package_fingerprint(package: str) -> str:
    """Name and version: a package without weights is identified by them."""
    return f"{package} {version(package)}"
