"""The columns of results: one row per image and trip."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

ROW_FORMAT = 1  # part of every key: raised when the meaning of rows changes, so that old ones are not reused


@dataclass(frozen=True, slots=True)  # slots: a million rows fit into 1 GB
class Row:
    """The outcome of one image on one trip. Column names are public.

    Attributes:
        key: hash of everything that determines the row.
        cbr_target, cbr, cbr_payload: channel uses per source value: allowed, billed in full, billed for payload only.
        snr_db, snr_db_realised: Es/N0 on average over channel draws, and its value in this one; None if
            nothing was sent.
        psnr_db, ms_ssim, lpips: quality of the shown image; None where the metric does not exist.
        outage: nothing could be decoded.
        payload .. pilots: the bill, in complex channel uses.
        encode_s, decode_s: seconds; None for a bound, which neither encodes nor decodes.
        fault: None, or one line on what broke in the scheme: it raised, or showed what is no image. Such a row is
            scored as an outage whose whole budget was spent on padding, and the next run of the sweep tries it again.
        further: None, or a JSON object of numbers by name: further metrics, and what the channel measured of the
            transmission (`simulator.channels.Received.measured`). `further_metrics` reads it.
    """

    key: str
    scheme: str
    channel: str
    snr_db: float
    cbr_target: float
    image: str
    realisation: int
    snr_db_realised: float | None
    psnr_db: float
    ms_ssim: float | None
    lpips: float | None
    outage: bool
    cbr: float
    cbr_payload: float
    payload: int
    side_information: int
    header: int
    crc: int
    padding: int
    pilots: int
    encode_s: float | None
    decode_s: float | None
    fault: str | None = None
    further: str | None = None


COLUMNS = tuple(field.name for field in fields(Row))
PUBLIC_COLUMNS = (*(name for name in COLUMNS if name not in ("key", "further")), "key")
METRICS = ("psnr_db", "ms_ssim", "lpips")
LEDGER_ITEMS = ("payload", "side_information", "header", "crc", "padding", "pilots")  # of `simulator.link.SymbolLedger`
SUMMARY_COLUMNS = (
    *("scheme", "channel", "snr_db", "cbr_target", "images", "realisations"),
    *(f"{metric}{suffix}" for metric in METRICS for suffix in ("", "_lo", "_hi")),
    *("outage_rate", "outage_rate_lo", "outage_rate_hi", "cbr", "cbr_data", "cbr_payload"),
)


def public_record(row: Row) -> dict[str, Any]:
    """A row as a flat record in the public order of columns."""
    record = asdict(row)
    return {name: record[name] for name in PUBLIC_COLUMNS} | further_metrics(row)


def write_further(values: Mapping[str, float]) -> str | None:
    """Numbers by name as `Row.further` holds them."""
    return json.dumps(dict(values)) if values else None


def further_metrics(row: Row) -> dict[str, float]:
    """The values of further metrics, by name."""
    return {} if row.further is None else json.loads(row.further)
