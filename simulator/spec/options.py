"""Declarations of schemes, channels and metrics: their options with kind, range, default and help.

One declaration reads `tdl-c:delay_spread_ns=100:csi=lmmse`, spells the canonical name, explains what is wrong with an
option, and feeds the verb `list`, the controls of the playground and the website. This module imports nothing heavy.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from simulator.errors import UserError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Number:
    """A numeric option.

    Attributes:
        default: value of an option that is not given; None if it can stay unset or the scheme finds it elsewhere.
        low, high: the range, both ends included.
        step: the value is a multiple of it.
        whole: the value is an int.
        help: one line.
        slider: lowest, highest and step of the playground's slider; None makes it a number field.
    """

    default: float | None
    low: float
    high: float
    step: int | None = None
    whole: bool = False
    help: str = ""
    slider: tuple[float, float, float] | None = None

    def __str__(self) -> str:
        kind = "a whole number " if self.whole else f"a multiple of {self.step} " if self.step else "a number "
        ends = (f"{end:,.0f}".replace(",", "") if end == int(end) else f"{end:g}" for end in (self.low, self.high))
        return kind + "from {} to {}".format(*ends)

    def read(self, text: str) -> float | None:
        """The number, or None if there is none, out of range or off the step."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return None
        fits = self.low <= value <= self.high and (self.step is None or value % self.step == 0)  # NaN does not
        return value if fits else None


@dataclass(frozen=True)
class Choice:
    """An option with a few values; the first is the default."""

    values: tuple[str, ...]
    help: str = ""

    def __str__(self) -> str:
        return " or ".join(self.values)

    @property
    def default(self) -> str:
        return self.values[0]

    def read(self, text: str) -> str | None:
        """The value, or None if it is not one."""
        return text if text in self.values else None


@dataclass(frozen=True)
class Text:
    """An option that is free text, such as a folder; None by default."""

    form: str
    help: str = ""
    default: None = None

    def __str__(self) -> str:
        return self.form

    def read(self, text: str) -> str | None:
        """The text, or None if it is empty."""
        return text or None


Option = Number | Choice | Text


@dataclass(frozen=True)
class Declaration:
    """The declaration of a scheme, channel or metric, the attribute `declaration` of its factory.

    Attributes:
        name: as in a specification, without options.
        summary: one line.
        options: by key, in the order in which the canonical name spells them.
        bare: key of the `Choice` that is written without `key=`.
        form: what follows the name before any option, such as `FILE.py:CLASS`.
        standard: place among the schemes that a sweep runs when none is named; None leaves a scheme out of them.
        opening: place among the schemes that the playground opens with; None leaves a scheme out of them.
        declared: False if the plug-in declares nothing itself, so that its options are unknown.
        broken: why the plug-in cannot be imported; empty if it can.
    """

    name: str
    summary: str
    options: Mapping[str, Option] = field(default_factory=dict)
    bare: str = ""
    form: str = ""
    standard: int | None = None
    opening: int | None = None
    declared: bool = True
    broken: str = ""

    def read(self, options: Sequence[str]) -> dict[str, Any]:
        """Read options as written after the name; what is not given takes its default.

        Returns:
            By key, a number for each `Number` and a str for each `Choice` and `Text`; None where an option was left out
            and has no default.

        Raises:
            UserError: unknown key, a value out of range, or a key given twice.
        """
        given: dict[str, Any] = {}
        for option in options:
            key, equals, text = option.partition("=")
            if not equals and self.bare and self.options[self.bare].read(option) is not None:
                key, text = self.bare, option
            elif not equals or key not in self.options:
                suggestion = did_you_mean(key if equals else option, self._spellings())
                raise UserError(f"'{self.name}' has no option '{option}'; {self._known()}{suggestion}")
            if key in given:
                raise UserError(f"'{self.name}': '{key}' is given twice; give it once")
            given[key] = self.options[key].read(text)
            if given[key] is None:
                raise UserError(f"'{self.name}': {key}={text} is not allowed; give {key} as {self.options[key]}")
        return {key: given.get(key, one.default) for key, one in self.options.items()}

    def spell(self, chosen: Mapping[str, Any], name: str = "") -> str:
        """The specification of the chosen values; without defaults and in one order, so that it is unique.

        Args:
            chosen: values by key, as `read` returns them.
            name: what to begin with instead of the declared name.
        """
        said = [(key, _spell(chosen[key])) for key, one in self.options.items() if chosen[key] != one.default]
        parts = (value if key == self.bare else f"{key}={value}" for key, value in said)
        return ":".join((name or self.name, *parts))

    def record(self) -> dict[str, Any]:
        """The declaration, JSON-serialisable."""
        options = []
        for key, one in self.options.items():
            kind = {"name": key, "kind": type(one).__name__.lower(), "default": one.default, "takes": str(one)}
            more = {name: value for name, value in asdict(one).items() if name in ("low", "high", "step", "values")}
            options.append(kind | more | {"bare": key == self.bare, "help": one.help})
        said = {"name": self.name, "form": self.form, "summary": self.summary}
        return said | {"options": options if self.declared else None}

    def _spellings(self) -> list[str]:
        """Keys, and the values that are written without one."""
        bare = self.options.get(self.bare)
        return [key for key in self.options if key != self.bare] + list(bare.values if isinstance(bare, Choice) else ())

    def _known(self) -> str:
        if not self.options:
            return f"write '{self.name}' alone"
        spellings = [
            ", ".join(one.values)
            if key == self.bare and isinstance(one, Choice)
            else f"{key}={one if isinstance(one, Text) else ''}"
            for key, one in self.options.items()
        ]
        return f"known: {', '.join(spellings)}"


def declares(declaration: Declaration) -> Callable[[F], F]:
    """Decorator that gives a factory its declaration."""

    def give(factory: F) -> F:
        factory.declaration = declaration  # type: ignore[attr-defined]
        return factory

    return give


def _spell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
