"""Configurations: read YAML files safely, apply `key=value` overrides, and check keys and types."""

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from simulator.errors import UserError

T = TypeVar("T")
Model = TypeVar("Model", bound="Section")

MAX_CHARACTERS = 2**17  # of a file; the parser takes a second for this many
MAX_VALUES = 10**6  # values of a file after expanding its aliases
MAX_SIZE = 4096  # of any dimension of a network
MAX_BLOCKS = 64


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers of YAML 1.2: 1e-3 is one, and 1:15 is text, not 75 seconds."""


_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?\d+$|0o[0-7]+$|0x[0-9a-fA-F]+$",
    "tag:yaml.org,2002:float": r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$",
}
_Loader.yaml_implicit_resolvers = {
    first: [one for one in known if one[0] not in _NUMBERS] for first, known in _Loader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))


def read_configuration(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML mapping, from disk or by its name among those that ship (`experiments/train/deepjscc.yaml`).

    Args:
        path: the file.
        overrides: as `override` takes them.

    Raises:
        UserError: no such file, not a YAML mapping, or an override that is no `key=value`.
    """
    config = _parse(_read_text(path), f"'{path}'")
    if not isinstance(config, dict):
        raise UserError(f"'{path}' must be a YAML mapping, lines like 'key: value'")
    for one in overrides:
        override(config, one)
    return config


def override(config: dict[str, Any], text: str) -> None:
    """Change a configuration in place: `key=value` with dots between levels, numbers for list entries from 1 on.

    Values are YAML: `loop.batch=8`, `stages.2.loop.minutes=5`, `model.rate_levels=[2, 4]`.

    Raises:
        UserError: it is no `key=value`, or there is no such place.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(f"--set takes key=value, such as loop.batch=8, got '{text}'")
    place: Any = config
    *path, last = name.split(".")
    for depth, key in enumerate(path):
        index = _index(place, path[:depth], key, name)
        if isinstance(place, dict):
            place.setdefault(key, {})
        place = place[index]
    place[_index(place, path, last, name)] = _parse(value, f"the value of --set {name}")


def check_keys(section: Any, known: Sequence[str], where: str) -> None:
    """Refuse a section that is not a mapping or has unknown keys.

    Raises:
        UserError: naming the first one.
    """
    if not isinstance(section, Mapping):
        raise UserError(f"{where} must be a mapping with keys among: {', '.join(known)}")
    if unknown := sorted(str(key) for key in set(section) - set(known)):
        raise UserError(f"unknown key '{unknown[0]}' in {where}; known: {', '.join(known)}")


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a section; pydantic checks each value's type, and lists become tuples.

    Args:
        kind: dataclass; its own checks may refuse values too.
        values: the section as YAML or JSON has it.
        where: what to call it in an error.

    Raises:
        UserError: a key is unknown, or a value is of another type or (as `kind` says) out of range.
    """
    types = get_type_hints(kind, include_extras=True)
    check_keys(values, [f.name for f in fields(kind)], where)  # type: ignore[arg-type]
    return kind(**{name: _held(value, types[name], f"{where}: '{name}'") for name, value in values.items()})


class Section(BaseModel):
    """A section of a file as a pydantic model: unknown keys and other types are refused, and lists become tuples."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        known = ", ".join(cls.model_fields)
        if not isinstance(values, dict):
            raise ValueError(f"must be a mapping with keys among: {known}")
        if unknown := sorted(str(key) for key in set(values) - set(cls.model_fields)):
            raise ValueError(f"unknown key '{unknown[0]}'; known: {known}")
        return _tuples(values)


def read_section(kind: type[Model], values: Any, where: str) -> Model:
    """Build a pydantic model from a section.

    Raises:
        UserError: the model refuses a key or value; the error names the first one.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, where)) from None


def _held(value: Any, kind: Any, what: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(_tuples(value), strict=True)
    except ValidationError as error:
        raise UserError(_explain(error, what)) from None


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(one) for key, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _explain(error: ValidationError, where: str) -> str:
    """The first complaint of a validation as one line."""
    first = error.errors(include_url=False)[0]
    keys = [f"'{key}'" if isinstance(key, str) else f"entry {key + 1}" for key in first["loc"]]
    place = ", ".join([where, *keys])
    if first["type"] == "value_error":  # our own words
        return f"{place}: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "missing":
        return f"{place} is missing; add it"
    expected = re.sub("^[A-Z][a-z]* should", "it must", first["msg"]).replace("valid tuple", "list")
    return f"{place} is {reprlib.repr(first['input'])}; {expected}"


def read_snr_range(value: Any, what: str) -> tuple[float, float]:
    """Lowest and highest Es/N0 in dB, from a list of two numbers.

    Raises:
        UserError: `value` is not such a list.
    """
    match value:
        case (int() | float() as low, int() | float() as high) if -30 <= low <= high <= 60:
            return float(low), float(high)
    raise UserError(f"{what} is {value}; write the lowest and the highest Es/N0 in dB (-30 to 60), such as [0, 20]")


def _index(place: Any, path: Sequence[str], key: str, name: str) -> Any:
    """The key or index that `key` means in the mapping or list at `path`."""
    if isinstance(place, dict):
        return key
    if not isinstance(place, list):
        raise UserError(f"--set {name}: there is nothing below '{path[-1]}'")
    if not key.isdecimal() or not 1 <= int(key) <= len(place):
        raise UserError(f"--set {name}: '{key}' must be a number from 1 to {len(place)}")
    return int(key) - 1


def check_sizes(config: Any, where: str) -> None:
    """Refuse network sizes (a dataclass of numbers and tuples of numbers) that do not fit any machine.

    Raises:
        UserError: a number that is not positive, or too large; an empty or long list.
    """
    for one in fields(config):
        value, most = getattr(config, one.name), MAX_BLOCKS if one.name.endswith("blocks") else MAX_SIZE
        entries = value if isinstance(value, tuple) else (value,)
        sizes = [entry for entry in entries if not isinstance(entry, bool)]
        if not 0 < len(entries) <= MAX_BLOCKS or not all(0 < size <= most for size in sizes):
            raise UserError(f"{where}: '{one.name}' is {value!r}; sizes must be more than 0 and at most {most}")


def _parse(text: str, what: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"{what} has {len(text)} characters; a configuration may have {MAX_CHARACTERS}")
    try:
        tree = _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{what} is not valid YAML ({' '.join(str(error).split())})") from None
    if _count(tree, {}) > MAX_VALUES:
        raise UserError(f"{what} has nested aliases that expand to more than {MAX_VALUES} values; write them out")
    return _written_out(tree)


def _written_out(value: Any) -> Any:
    """Copy a tree and expand its aliases, so that changing one section does not change another."""
    if isinstance(value, dict):
        return {key: _written_out(one) for key, one in value.items()}
    return [_written_out(one) for one in value] if isinstance(value, list) else value


def _count(value: Any, known: dict[int, float]) -> float:
    """Size of a tree after expanding its aliases; infinite if it contains itself."""
    if isinstance(value, str | bytes):
        return 1 + len(value)
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(one, known) for one in inside)
    return known[id(value)]


def _read_text(path: Path) -> str:
    shipped = files("simulator.experiments") / "shipped" / "/".join(path.parts[path.parts[:1] == ("experiments",) :])
    for place in (path, shipped):
        if place.is_file():
            try:
                return place.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"cannot read '{path}' ({error}); give a YAML file in UTF-8") from None
    raise UserError(f"no configuration '{path}'; give a YAML file, such as experiments/train/deepjscc.yaml")
