"""Parsers for the axes of a grid: `0:15:2.5` for SNRs in dB, `1/48,1/16` for bandwidth ratios."""

import re
from decimal import Context, Decimal, InvalidOperation, localcontext
from fractions import Fraction

from simulator.errors import UserError

MAX_CBR = Fraction(1, 2)
MAX_ABS_SNR_DB = 100
MAX_GRID_POINTS = 1000

_RATIO = re.compile(r"\d{1,12}(/0*[1-9]\d{0,11}|\.\d{0,18})?|\.\d{1,18}")


def parse_snr(text: str) -> float:
    """Parse one SNR in dB, such as `10` or `-2.5`.

    Raises:
        UserError: the text is not a number in -100..100 with at most six decimals.
    """
    with localcontext(Context()):  # the user's own may round to fewer digits
        return float(_decimal(text))


def parse_snrs(text: str) -> tuple[float, ...]:
    """Parse SNRs in dB: `0:15` (inclusive, step 1), `0:15:0.5`, `0,5,10`, or a mix such as `0:4,10`; sorted.

    Raises:
        UserError: the text is not such a grid, or it has more than `MAX_GRID_POINTS`.
    """
    with localcontext(Context()):  # as above
        values = {value for part in text.split(",") for value in _span(part)}
    if len(values) > MAX_GRID_POINTS:
        raise UserError(f"'{text}' has {len(values)} points; give at most {MAX_GRID_POINTS}")
    return tuple(sorted(values))


def _span(text: str) -> list[float]:
    """The points of `a`, `a:b` or `a:b:step`."""
    parts = [_decimal(part) for part in text.split(":")]
    if len(parts) > 3:
        raise UserError(f"'{text}' is not a range; write FIRST:LAST[:STEP], such as 0:15 or 0:15:0.5")
    first, last = parts[0], parts[min(1, len(parts) - 1)]
    step = parts[2] if len(parts) == 3 else Decimal(1)
    if step <= 0:
        raise UserError(f"step {step} in '{text}' must be more than 0, such as 0:15:0.5")
    if last < first:
        raise UserError(f"range '{text}' is empty; write the lower SNR first, such as {last}:{first}")
    count = int((last - first) / step) + 1
    if count > MAX_GRID_POINTS:
        raise UserError(f"'{text}' has {count} points; give at most {MAX_GRID_POINTS}")
    return [float(first + index * step) + 0.0 for index in range(count)]


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise UserError(f"'{text}' is not an SNR in dB; write a number such as 10 or -2.5") from None
    if not value.is_finite() or abs(value) > MAX_ABS_SNR_DB or value != round(value, 6):
        limits = f"-{MAX_ABS_SNR_DB}..{MAX_ABS_SNR_DB} dB, with at most six decimals"
        raise UserError(f"SNR '{text}' must lie in {limits}")
    return value


def parse_cbr(text: str) -> Fraction:
    """Parse one bandwidth ratio, channel uses per source value: `1/16` or `0.0625`.

    Raises:
        UserError: the text is not a number in (0, 1/2].
    """
    if not _RATIO.fullmatch(text.strip()):
        raise UserError(f"'{text}' is not a bandwidth ratio; write 1/16 or 0.0625, in (0, 1/2]")
    value = Fraction(text.strip())
    if not 0 < value <= MAX_CBR:
        raise UserError(f"bandwidth ratio '{text}' must lie in (0, 1/2]; the usual one is 1/16")
    return value


def parse_cbrs(text: str) -> tuple[Fraction, ...]:
    """Parse bandwidth ratios separated by commas; sorted, each once. Raises what `parse_cbr` raises."""
    return tuple(sorted({parse_cbr(part) for part in text.split(",")}))
