"""Options of a scheme's specification: `bpg-ldpc:16qam-1/2:chroma=420`."""

from collections.abc import Mapping, Sequence

from simulator.errors import UserError


def read_options(
    scheme: str, options: Sequence[str], choices: Mapping[str, Sequence[str]], bare: str = ""
) -> dict[str, str]:
    """Read `key=value` options, each held to its choices; the first choice is the default.

    Args:
        scheme: name of the scheme, for errors.
        options: as written after the scheme's name.
        choices: per key the values it may take.
        bare: the key that is written without `key=`.

    Raises:
        UserError: unknown key or value, or a key given twice.
    """
    given: dict[str, str] = {}
    for option in options:
        key, equals, value = option.rpartition("=")
        key = key if equals else bare
        if key not in choices or value not in choices[key]:
            spellings = [value if one == bare else f"{one}={value}" for one in choices for value in choices[one]]
            raise UserError(f"scheme '{scheme}' has no option '{option}'; known: {', '.join(spellings)}")
        if key in given:
            raise UserError(f"scheme '{scheme}': '{given[key]}' and '{value}' both given; give one")
        given[key] = value
    return {key: given.get(key, values[0]) for key, values in choices.items()}


def full_name(scheme: str, chosen: Mapping[str, str], choices: Mapping[str, Sequence[str]], bare: str = "") -> str:
    """The specification that leads to what was chosen; without defaults and in one order, so that it is unique."""
    parts = [value if key == bare else f"{key}={value}" for key, value in chosen.items() if value != choices[key][0]]
    return ":".join((scheme, *parts))
