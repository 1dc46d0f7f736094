"""Metrics that other packages compute: imported when they are used, and explained when they are missing."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

from simulator.errors import UserError


def import_package(
    metric: str,
    module: str,
    package: str,
    extra: str = "metrics",
    load: Callable[[str], ModuleType] = import_module,
) -> ModuleType:
    """Import the package behind a metric.

    Args:
        metric, module, package: their names.
        extra: of this program, which installs the package.
        load: what imports the module.

    Raises:
        UserError: it is not installed.
    """
    try:
        return load(module)
    except ImportError as error:
        install = f"pip install 'wireless-image-simulator[{extra}]'"
        raise UserError(f"metric '{metric}' needs the package {package} ({error}); {install}") from None


def package_fingerprint(package: str) -> str:
    """Name and version: a package without weights is identified by them."""
    return f"{package} {version(package)}"
