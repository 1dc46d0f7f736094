"""How objects show themselves in a prompt or a notebook: by name, and without the values of their tensors."""

from dataclasses import fields
from typing import Any


class Named:
    """Shows itself by its specification: `DigitalChain('bpg-ldpc')`."""

    name: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.name}')"


class Brief:
    """A dataclass (`repr=False`) that shows tensors by type and shape: `Decoded(images=float32[1, 3, 64, 64], ..)`."""

    def __repr__(self) -> str:
        values = (f"{one.name}={brief(getattr(self, one.name))}" for one in fields(self) if one.repr)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(values)})"


def brief(value: Any) -> str:
    """A value in short: arrays as type and shape, of a long list the first and how many there are."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, list | tuple):
        more = f", ... {len(value)} in all" if len(value) > 2 else ""
        return f"[{', '.join(brief(one) for one in value[: 1 if more else 2])}{more}]"
    return repr(value)
