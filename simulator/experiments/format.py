"""The format of an experiment's YAML file, which experiments/README.md describes: keys, defaults and ranges."""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WrapValidator

from simulator.analysis.curves import ROLES
from simulator.analysis.statistics import METRICS
from simulator.analysis.words import BACKBONES
from simulator.errors import UserError
from simulator.results.gallery import KEEP
from simulator.spec.configuration import Section
from simulator.spec.grids import parse_cbr, parse_snrs

PICTURES, CROPS, PEAKS, COMPLEXITY = WORDS = ("pictures", "crops", "peaks", "complexity")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} must be text, in quotes where it looks like a number")
    return value


def _among(choices: Sequence[str]) -> Any:
    def check(value: str) -> str:
        if value not in choices:
            raise ValueError(f"unknown '{value}'; known: {', '.join(choices)}")
        return value

    return AfterValidator(check)


def _parse(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except UserError as error:
        raise ValueError(str(error)) from None


def _snrs(value: Any) -> Any:
    if not isinstance(value, str | tuple) or not value:
        raise ValueError(f'{value!r} must be a list such as [0, 5, 10], or a range in quotes, "0:15:5"')
    return _parse(parse_snrs, value if isinstance(value, str) else ",".join(map(str, value)))


def _column(value: str) -> str:
    """Further metrics are known only when the experiment runs."""
    if not re.fullmatch("[a-z][a-z0-9_]*", value):
        raise ValueError(f"unknown '{value}'; known: {', '.join(METRICS)}, and columns of 'metrics'")
    return value


def _short_for(key: str) -> Any:
    """Anything but a mapping is short for a mapping with this key alone."""
    return BeforeValidator(lambda value: value if isinstance(value, dict) else {key: value})


Text = Annotated[str, BeforeValidator(_text)]
Snrs = Annotated[tuple[float, ...], BeforeValidator(_snrs)]
Column = Annotated[Text, AfterValidator(_column)]
Pixel = Annotated[int, Field(ge=0)]
AT_LEAST_ONE = Field(min_length=1)
Texts = Annotated[tuple[Text, ...], AT_LEAST_ONE]


class SchemeEntry(Section):
    """One of `schemes`: its specification, or a mapping."""

    scheme: Text
    label: Text | None = None
    snr: Snrs | None = None


class CbrEntry(Section):
    """One of `cbr`: a bandwidth ratio, or a mapping that also gives its SNRs."""

    cbr: Annotated[Fraction, BeforeValidator(lambda value: _parse(parse_cbr, _text(value)))]
    snr: Snrs | None = None


Scheme = Annotated[SchemeEntry, _short_for("scheme")]
Cbr = Annotated[CbrEntry, _short_for("cbr")]


class FigureEntry(Section):
    """One of `figures`: columns side by side, or a mapping that also says against what, where and along what."""

    y: Annotated[tuple[Column, ...], AT_LEAST_ONE]
    x: Column | None = None
    along: Text | None = None
    by: dict[Text, Annotated[Text, _among(ROLES)]] = Field(default_factory=dict)
    schemes: tuple[Text, ...] = ()
    snr: Snrs = ()
    cbr: tuple[Cbr, ...] = ()


def _figure(value: Any, read: Callable[[Any], FigureEntry]) -> Any:
    return value if value in WORDS else read(value if isinstance(value, dict) else {"y": value})


def _one_or_several(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


class ExperimentFile(Section):
    """The whole file."""

    title: Text
    schemes: Annotated[tuple[Scheme, ...], AT_LEAST_ONE]
    snr: Snrs
    cbr: Annotated[tuple[Cbr, ...], AT_LEAST_ONE] = (CbrEntry.model_validate({"cbr": "1/16"}),)
    channels: Texts = ("awgn",)
    images: Text = "kodak"
    only: Texts = ()
    crop: Annotated[int, Field(ge=16)] | None = None
    realisations: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    lpips: Annotated[Text, _among((*BACKBONES, "none"))] = "alex"
    metrics: Texts = ()
    keep_images: Annotated[Text, _among(KEEP)] = "none"
    x: Literal["snr", "cbr"] = "snr"
    figures: tuple[Annotated[FigureEntry, WrapValidator(_figure)], ...] = ()
    crops: dict[Annotated[str, BeforeValidator(str)], tuple[Pixel, Pixel]] = Field(default_factory=dict)
    reference: Annotated[tuple[Text, ...], BeforeValidator(_one_or_several)] = ()
