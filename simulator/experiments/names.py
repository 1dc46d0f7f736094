"""Names of the experiments that ship; imports nothing heavy."""

from importlib.resources import files

SUFFIX = ".yaml"


def experiment_names() -> list[str]:
    """Names of the experiments that ship, in the order in which `all` runs them."""
    names = (path.name for path in (files("simulator.experiments") / "shipped").iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
