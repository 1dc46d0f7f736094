"""The options of transmitter and receiver that every channel takes: `awgn:constellation=64:adc_bits=6`."""

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.channels.radio.oscillator import Oscillator
from simulator.errors import UserError
from simulator.phy.constellation import POINTS
from simulator.spec.options import Choice, Declaration, Number, Option

RADIO: dict[str, Option] = {
    "constellation": Choice(("none", *map(str, POINTS)), help="points of the QAM grid that symbols are restricted to"),
    "spread": Choice(
        ("none", "dft"), help="whether analog symbols are spread over the transmission first, as on a grid"
    ),
    "waveform": Choice(("none", "ofdm"), help="what distortions act on: symbols, or samples of an OFDM waveform"),
    "papr_db": Number(None, 0, 30, help="where samples are clipped, in dB above mean power"),
    "pa": Choice(("none", "rapp", "saleh"), help="power amplifier"),
    "backoff_db": Number(None, 0, 40, help="saturated output power of the amplifier over its mean input power, in dB"),
    "iq_db": Number(0, -6, 6, help="amplitude error of the Q branch in dB"),
    "iq_deg": Number(0, -30, 30, help="phase error of the Q branch in degrees"),
    "phase_noise_hz": Number(0, 0, 10_000, help="linewidth of the oscillator; needs pilots"),
    # The two OFDM symbols with pilots are nine apart: from 0.05 on, the phase between them is ambiguous.
    "cfo": Number(0, -0.05, 0.05, help="frequency offset in subcarrier spacings; needs pilots"),
    "adc_bits": Number(None, 1, 16, whole=True, help="resolution of the receiver per real dimension"),
}
DEFAULT_BACKOFF_DB = 6.0


_IDEAL = Oscillator()


@dataclass(frozen=True)
class Radio:
    """A transmitter and a receiver that are not ideal.

    Attributes:
        points: of the QAM grid that symbols are restricted to; 0 for none.
        spread: whether symbols that lie on no grid are spread over the transmission.
        ofdm: whether distortions act on the samples of an OFDM waveform, or on the symbols themselves.
        clip_db: where samples are clipped, over mean power; None for nowhere.
        amplifier: "none", "rapp" or "saleh".
        backoff_db: saturated output power over mean input power.
        iq_db, iq_deg: amplitude and phase error of the Q branch.
        oscillator: phase noise and frequency offset.
        adc_bits: per real dimension of the receiver; None for no quantisation.
    """

    points: int = 0
    spread: bool = False
    ofdm: bool = False
    clip_db: float | None = None
    amplifier: str = "none"
    backoff_db: float = DEFAULT_BACKOFF_DB
    iq_db: float = 0.0
    iq_deg: float = 0.0
    oscillator: Oscillator = _IDEAL
    adc_bits: int | None = None

    @property
    def transmits_ideally(self) -> bool:
        """Does the receiver's input differ from an ideal transmitter's by at most a constellation?"""
        imbalance = self.iq_db or self.iq_deg
        return self.clip_db is None and self.amplifier == "none" and not imbalance and self.oscillator.ideal


def split_options(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options that every channel takes, and those of the channel itself."""
    shared = [one for one in options if one.partition("=")[0] in RADIO]
    return shared, [one for one in options if one not in shared]


def read_radio(channel: str, options: Sequence[str]) -> tuple[Radio | None, str]:
    """The radio that the shared options of a channel describe, and their canonical spelling after its name.

    Returns:
        None if all are at their defaults.

    Raises:
        UserError: an invalid option, or back-off without an amplifier.
    """
    declared = Declaration(channel, "a transmitter and a receiver that are not ideal", RADIO)
    chosen = declared.read(options)
    if chosen["backoff_db"] is not None and chosen["pa"] == "none":
        raise UserError(f"'{channel}': backoff_db needs an amplifier; add pa=rapp or pa=saleh, or leave it out")
    if chosen["pa"] != "none" and chosen["backoff_db"] == DEFAULT_BACKOFF_DB:
        chosen["backoff_db"] = None
    spread = chosen["spread"] == "dft" or chosen["constellation"] != "none"
    if chosen["constellation"] != "none":
        chosen["spread"] = "none"  # one name for one channel
    suffix = declared.spell(chosen).removeprefix(channel)
    if not suffix:
        return None, ""
    radio = Radio(
        points=0 if chosen["constellation"] == "none" else int(chosen["constellation"]),
        spread=spread,
        ofdm=chosen["waveform"] == "ofdm",
        clip_db=chosen["papr_db"],
        amplifier=chosen["pa"],
        backoff_db=DEFAULT_BACKOFF_DB if chosen["backoff_db"] is None else chosen["backoff_db"],
        iq_db=chosen["iq_db"],
        iq_deg=chosen["iq_deg"],
        oscillator=Oscillator(chosen["phase_noise_hz"], chosen["cfo"]),
        adc_bits=chosen["adc_bits"],
    )
    return radio, suffix
