"""What figures call schemes, channels, axes and values: words for people in place of specifications."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import PurePath

from simulator.analysis.scales import SCALES, scale_of

BACKBONES = {"alex": "AlexNet", "vgg": "VGG", "squeeze": "SqueezeNet"}
_SCHEMES = {
    "lrisc": "LRISC",
    "lrisc-hybrid": "LRISC hybrid",
    "deepjscc": "DeepJSCC",
    "pdjscc": "PDJSCC",
    "bpg-ldpc": "BPG + LDPC",
    "bpg-capacity": "BPG + capacity",
    "jpeg-ldpc": "JPEG + LDPC",
    "jpeg-capacity": "JPEG + capacity",
    "jpeg2000-ldpc": "JPEG 2000 + LDPC",
    "jpeg2000-capacity": "JPEG 2000 + capacity",
    "webp-ldpc": "WebP + LDPC",
    "webp-capacity": "WebP + capacity",
    "avif-ldpc": "AVIF + LDPC",
    "avif-capacity": "AVIF + capacity",
}
_CHANNELS = {
    "awgn": "AWGN",
    "rayleigh": "Rayleigh",
    "rayleigh-fast": "Rayleigh, one gain per symbol",
    "rician": "Rician",
    "rician-fast": "Rician, one gain per symbol",
    "umi": "UMi",
    "uma": "UMa",
    "rma": "RMa",
    "mimo": "MIMO",
}
_OPTIONS = {
    "speed_kmh": "{} km/h",
    "delay_spread_ns": "{} ns delay spread",
    "carrier_ghz": "{} GHz",
    "spacing_khz": "{} kHz spacing",
    "subcarriers": "{} subcarriers",
    "pilots": "{} pilots",
    "assumed_db": "{} dB assumed",
    "constellation": "{}-QAM grid",
    "spread": "{}-spread",
    "waveform": "{} waveform",
    "papr_db": "clipped at {} dB",
    "pa": "{} amplifier",
    "backoff_db": "{} dB back-off",
    "adc_bits": "{} bit ADC",
    "model": "{}",
    "K": "K = {} dB",
    "adaptation": "{}",
    "steps": "{} steps",
    "chroma": "{} chroma",
}
_NAMES = {"dft": "DFT", "ofdm": "OFDM", "rapp": "Rapp", "saleh": "Saleh"}
_ESTIMATES = {"lmmse": "LMMSE", "ls": "LS", "perfect": "perfect CSI"}
_COSTS = {
    "snr_db": "$E_s/N_0$ (dB)",
    "outage_rate": "Outage rate",
    "cbr": "CBR, all costs billed",
    "cbr_data": "CBR without pilots, guard and prefix",
    "cbr_payload": "CBR of the payload alone",
    "encode_s": "Encoding time per image (s)",
    "decode_s": "Decoding time per image (s)",
    "amplifier_db": SCALES["amplifier_db"].label,  # where an amplifier is operated: neither good nor bad by itself
}


def cbr_label(cbr: float) -> str:
    """A bandwidth ratio as people write it: `1/16` where a small fraction says it, else decimals."""
    fraction = Fraction(cbr).limit_denominator(999)
    return str(fraction) if abs(float(fraction) - cbr) < 1e-9 else f"{cbr:.6g}"


def scheme_words(name: str) -> str:
    """`bpg-ldpc:16qam-1/2` as `BPG + LDPC, 16-QAM 1/2`; a name that is not known stays as it is."""
    family, *options = name.split(":")
    if family not in _SCHEMES:
        return name
    return ", ".join((_SCHEMES[family], *map(_option_words, options)))


def channel_words(name: str) -> str:
    """`tdl-c:speed_kmh=60:csi=lmmse` as `TDL-C, 60 km/h, LMMSE`."""
    family, *options = name.split(":")
    known = _CHANNELS.get(family, family.upper() if re.fullmatch(r"[tc]dl-[a-e]", family) else family)
    return ", ".join((known, *map(_option_words, options)))


def _option_words(option: str) -> str:
    if match := re.fullmatch(r"(\d+)qam-(\S+)", option):
        return f"{match[1]}-QAM {match[2]}"
    key, equals, value = option.partition("=")
    if key == "csi":
        return _ESTIMATES.get(value, value)
    if key == "weights":
        return f"weights {PurePath(value).stem}"
    return _OPTIONS.get(key, key + " = {}").format(_NAMES.get(value, value)) if equals else option


def column_words(column: str, backbones: Iterable[str] = (), directions: Mapping[str, bool] | None = None) -> str:
    """What an axis is called.

    Args:
        column: a metric or cost column of `summary.csv` or `table.csv`, or `snr_db`.
        backbones: networks of LPIPS in the results.
        directions: of metrics that the program does not know, by name: whether higher is better.
    """
    if column in _COSTS:
        return _COSTS[column]
    scale = scale_of(column, directions)
    nets = ", ".join(BACKBONES.get(name, name) for name in sorted(backbones)) if column == "lpips" else ""
    knows_direction = column in SCALES or column in (directions or {})
    return scale.label + f" ({nets})" * bool(nets) + f", {scale.better}" * knows_direction


def value_words(dimension: str, value: object) -> str:
    """A value of a dimension of the grid, as a title or a legend says it."""
    if dimension == "snr":
        return f"$E_s/N_0$ = {value:g} dB"
    if dimension == "cbr":
        assert isinstance(value, float)
        return f"CBR {cbr_label(value)}"
    return channel_words(str(value)) if dimension == "channel" else str(value)


def billed_words(costs: Sequence[tuple[float, float]]) -> str:
    """What the channel's own pilots, guard and prefix raise the CBR to, or nothing where there are none.

    Args:
        costs: (billed CBR, CBR without pilots, guard and prefix) of each point.
    """
    raised = sorted(cbr for cbr, data in costs if cbr > 1.001 * data)
    if not raised:
        return ""
    low, high = f"{raised[0]:.3f}", f"{raised[-1]:.3f}"
    if len(raised) < len(costs):
        return f" (billed up to {high} with pilots)"
    return f" (billed {low if low == high else f'{low} to {high}'} with pilots)"


def file_words(*parts: str) -> str:
    """Words as part of a file's name: letters, digits, `.`, `_` and `-`."""
    signed = (re.sub(r"(?<![\w.])-(?=\d)", "minus ", part) for part in parts)  # -2 and 2 are two files
    text = "-".join(signed).replace("km/h", "kmh").replace("$E_s/N_0$ = ", "snr ")
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-").lower()
