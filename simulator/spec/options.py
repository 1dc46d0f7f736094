"""Options of a specification: `tdl-c:delay_spread_ns=100:csi=lmmse`, `bpg-ldpc:16qam-1/2:chroma=420`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.errors import UserError


@dataclass(frozen=True)
class Number:
    """A numeric option: its default (None: it can stay unset), its range with both ends, a step it is a multiple of."""

    default: float | None
    low: float
    high: float
    step: int | None = None

    def __str__(self) -> str:
        multiple = f"a multiple of {self.step} " if self.step else "a number "
        return f"{multiple}from {self.low:g} to {self.high:g}"

    def read(self, text: str) -> float | None:
        """The number, or None if there is none, out of range or off the step."""
        try:
            value = float(text)
        except ValueError:
            return None
        fits = self.low <= value <= self.high and (self.step is None or value % self.step == 0)  # NaN does not
        return value if fits else None


@dataclass(frozen=True)
class Choice:
    """An option with a few values; the first is the default."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.values)

    @property
    def default(self) -> str:
        return self.values[0]

    def read(self, text: str) -> str | None:
        """The value, or None if it is not one."""
        return text if text in self.values else None


Known = Mapping[str, Number | Choice]


def read_options(name: str, options: Sequence[str], known: Known, bare: str = "") -> dict[str, Any]:
    """Read `key=value` options; what is not given takes its default.

    Args:
        name: of the scheme or channel, for errors.
        options: as written after that name.
        known: the options that there are, in the order in which `full_name` spells them.
        bare: key of a `Choice` that is written without `key=`.

    Returns:
        By key, a float for each `Number` (None where it was left out and has no default) and a str for each `Choice`.

    Raises:
        UserError: unknown key, a value out of range, or a key given twice.
    """
    given: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals and bare and known[bare].read(option) is not None:
            key, text = bare, option
        elif not equals or key not in known:
            spellings = [
                ", ".join(one.values) if key == bare and isinstance(one, Choice) else f"{key}="
                for key, one in known.items()
            ]
            there = f"known: {', '.join(spellings)}" if known else f"write '{name}' alone"
            raise UserError(f"'{name}' has no option '{option}'; {there}")
        if key in given:
            raise UserError(f"'{name}': '{key}' is given twice; give it once")
        given[key] = known[key].read(text)
        if given[key] is None:
            raise UserError(f"'{name}': {key}={text} cannot be; give {key} as {known[key]}")
    return {key: given.get(key, one.default) for key, one in known.items()}


def full_name(name: str, chosen: Mapping[str, Any], known: Known, bare: str = "") -> str:
    """The specification that leads to what was chosen; without defaults and in one order, so that it is unique."""
    said = [(key, _spell(chosen[key])) for key, one in known.items() if chosen[key] != one.default]
    return ":".join((name, *(value if key == bare else f"{key}={value}" for key, value in said)))


def _spell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else repr(value)
