"""Options of a channel's specification: `tdl-c:delay_spread_ns=100:csi=lmmse`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulator.errors import UserError


@dataclass(frozen=True)
class Number:
    """A numeric option: its default, its range (both ends belong to it), and a step it must be a multiple of."""

    default: float
    low: float
    high: float
    step: int | None = None

    def __str__(self) -> str:
        multiple = f"a multiple of {self.step} " if self.step else "a number "
        return f"{multiple}from {self.low:g} to {self.high:g}"

    def allows(self, value: float) -> bool:
        """Is `value` in range and on the step? NaN is not."""
        return self.low <= value <= self.high and (self.step is None or value % self.step == 0)


@dataclass(frozen=True)
class Choice:
    """An option with a few values; the first is the default."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.values)


Known = Mapping[str, Number | Choice]


def read_options(channel: str, options: Sequence[str], known: Known) -> dict[str, float | str]:
    """Read `key=value` options; what is not given takes its default.

    Args:
        channel: name of the channel, for errors.
        options: as written after the channel's name.
        known: the options that there are, in the order in which a name spells them.

    Raises:
        UserError: unknown key, a value out of range, or a key given twice.
    """
    given: dict[str, float | str] = {}
    for option in options:
        key, _, text = option.partition("=")
        if key not in known:
            there = f"known: {', '.join(f'{name}=' for name in known)}" if known else f"write '{channel}' alone"
            raise UserError(f"channel '{channel}' has no option '{option}'; {there}")
        if key in given:
            raise UserError(f"channel '{channel}': '{key}' is given twice; give it once")
        given[key] = _value(channel, key, text, known[key])
    defaults = {key: one.default if isinstance(one, Number) else one.values[0] for key, one in known.items()}
    return {key: given.get(key, default) for key, default in defaults.items()}


def _value(channel: str, key: str, text: str, known: Number | Choice) -> float | str:
    if isinstance(known, Choice):
        if text in known.values:
            return text
    else:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if known.allows(value):
            return value
    raise UserError(f"channel '{channel}': {key}={text} cannot be; give {key} as {known}")


def full_name(channel: str, chosen: Mapping[str, float | str], known: Known) -> str:
    """The specification that leads to what was chosen; without defaults and in one order, so that it is unique."""
    defaults = read_options(channel, (), known)
    said = {key: chosen[key] for key in known if chosen[key] != defaults[key]}
    return ":".join((channel, *(f"{key}={_spell(value)}" for key, value in said.items())))


def _spell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else repr(value)
