"""What papers and users report of the released checkpoints, and what they do here: `weights reproduce NAME`.

PSNR on Kodak over AWGN, averaged over images.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from simulator.baselines.published.library import imported
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import bandwidth_ratio, load_scheme, on_device, transmit

SWINJSCC_RATES = (32, 64, 96, 128, 192)
SWINJSCC_SA_RA = {
    1: (26.430, 28.349, 29.538, 30.347, 31.410),
    4: (27.654, 29.733, 31.089, 31.980, 33.186),
    7: (28.490, 30.794, 32.270, 33.338, 34.756),
    10: (29.044, 31.548, 33.173, 34.410, 36.054),
    13: (29.385, 32.052, 33.805, 35.188, 37.047),
}
NTSCC_POINTS = ((0.0255, 29.79), (0.0374, 31.82), (0.0517, 33.52), (0.0706, 34.67))
_ROOM = Fraction(3, 2)  # of a budget over the papers' CBR, so that side information takes no payload's place


@dataclass(frozen=True)
class Point:
    """One point of a paper and ours beside it.

    Attributes:
        scheme: specification that was run.
        snr_db: Es/N0.
        paper_cbr, paper_psnr_db: what was reported; None where nothing was.
        cbr_payload, cbr, psnr_db: ours: payload alone, everything, and the mean over images.
    """

    scheme: str
    snr_db: float
    paper_cbr: float | None
    paper_psnr_db: float | None
    cbr_payload: float
    cbr: float
    psnr_db: float


def reproduce(
    name: str, ties: str = "legacy", precision: str = "fp32", limit: int | None = None,
    tell: Callable[[Point], None] = lambda point: None,
) -> list[Point]:  # fmt: skip
    """Send Kodak through imported weights at the points that were reported.

    Args:
        name: of imported weights.
        ties: of SwinJSCC's mask.
        precision: "fp32" or "bf16".
        limit: take so many images only.
        tell: called with every point as it comes.

    Raises:
        UserError: no such weights, or nothing was reported of their kind.
    """
    cards = {card["name"]: card for card in imported()}
    if name not in cards:
        raise UserError(f"no weights '{name}' are imported; imported: {', '.join(cards) or 'none'}")
    points = []
    for spec, cbr, snr_db, paper in _plan(name, cards[name]["system"], cards[name]["model"], ties):
        point = _measure(spec, cbr, snr_db, paper, precision, limit)
        points.append(point)
        tell(point)
    return points


def _plan(
    name: str, system: str, model: dict[str, Any], ties: str
) -> Iterator[tuple[str, Fraction, float, tuple[float, float] | None]]:
    """Specification, budget, SNR and the reported (CBR, PSNR) of every point."""
    if system == "swinjscc" and model["mode"] == "sa-ra" and len(model["widths"]) == 4:
        for snr_db, reported in SWINJSCC_SA_RA.items():
            for rate, psnr_db in zip(SWINJSCC_RATES, reported, strict=True):
                spec = f"swinjscc:weights={name}:rate={rate}:ties={ties}"
                yield spec, Fraction(rate, 1536) * _ROOM, snr_db, (rate / 1536, psnr_db)
    elif system == "ntscc":
        yield f"ntscc:weights={name}", Fraction(1, 4), 10, None
    else:
        raise UserError(
            f"no reported numbers of '{name}' are known: there are some of swinjscc in mode sa-ra and of ntscc; "
            "use sweep for the others"
        )


def _measure(
    spec: str, cbr: Fraction, snr_db: float, paper: tuple[float, float] | None, precision: str, limit: int | None
) -> Point:
    scheme, channel = on_device(load_scheme(spec), "cpu", precision), load_channel("awgn")
    psnrs, payload, total = [], [], []
    for one in load_image_set("kodak")[:limit]:
        trip = transmit(scheme, one.pixels[None], cbr, channel, snr_db)
        shown = trip.decoded.images[0]
        if paper is None:  # NTSCC's authors round to 8 bits, SwinJSCC's do not
            shown = (255 * shown).round() / 255
        error = (shown - one.pixels).double().square().mean()
        psnrs.append(float(-10 * torch.log10(error.clamp_min(1e-12))))
        size = (one.pixels.shape[1], one.pixels.shape[2])
        payload.append(bandwidth_ratio(trip.ledgers[0].payload, size))
        total.append(bandwidth_ratio(trip.ledgers[0].total, size))
    ours = [sum(values) / len(values) for values in (payload, total, psnrs)]
    if paper is None:  # a file of NTSCC: the reported point that is nearest in CBR
        paper = min(NTSCC_POINTS, key=lambda point: abs(point[0] - ours[0]))
    return Point(spec, snr_db, *paper, *ours)
