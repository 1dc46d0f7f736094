"""The peaks of what schemes send: CCDF of the PAPR of OFDM symbols that carry their symbols, all on one waveform."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from simulator.analysis.looks import looks_of
from simulator.analysis.plots import save
from simulator.analysis.styles import STYLES
from simulator.analysis.tables import records_csv
from simulator.analysis.words import cbr_label, file_words, scheme_words, value_words
from simulator.channels import load_channel
from simulator.channels.contract import announce
from simulator.channels.grid import ResourceGrid
from simulator.channels.radio.waveform import Waveform, papr_db
from simulator.experiments.swept import Swept
from simulator.link import Bound, LinkState, Scheme, channel_uses
from simulator.randomness import derive_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE = "peaks.csv"
GRID = ResourceGrid(288, 30e3, "none")  # 24 resource blocks of NR, without pilots
_HIGH_DB = 9.0
_EFFECTIVE = 2.8  # independent samples per subcarrier of an oversampled waveform


@dataclass(frozen=True)
class Peaks:
    """What a scheme sends at one SNR and CBR, over all images.

    Attributes:
        scheme, snr_db, cbr: of the rows.
        papr_db: peak over mean power of every OFDM symbol, float64 [n], ascending.
        kurtosis: E|s|^4 / (E|s|^2)^2 of its symbols: 2 for complex Gaussian ones.
        peak_db: largest over mean power of its symbols themselves, as a waveform of single carriers has it.
        spread_db: standard deviation of the mean power of OFDM symbols of an image, in dB; an amplifier whose back-off
            is set for the mean distorts the strong ones.
    """

    scheme: str
    snr_db: float
    cbr: float
    papr_db: np.ndarray
    kurtosis: float
    peak_db: float
    spread_db: float

    def record(self) -> dict[str, Any]:
        """A line of the table."""
        return {
            "scheme": self.scheme,
            "snr_db": f"{self.snr_db:g}",
            "cbr": cbr_label(self.cbr),
            "ofdm_symbols": len(self.papr_db),
            "mean_papr_db": f"{self.papr_db.mean():.2f}",
            "papr_db_exceeded_by_10_percent": f"{np.quantile(self.papr_db, 0.9):.2f}",
            f"share_above_{_HIGH_DB:g}_db": f"{(self.papr_db > _HIGH_DB).mean():.3f}",
            "kurtosis": f"{self.kurtosis:.2f}",
            "peak_db": f"{self.peak_db:.1f}",
            "spread_db": f"{self.spread_db:.2f}",
        }


def draw_peaks(swept: Swept) -> None:
    """Encode the images once more, write `TABLE`, and draw one CCDF per SNR and CBR of the results.

    Both ends assume the SNR of the sweep's first channel.
    """
    images, rows = list(swept.images.values()), swept.results.rows
    points = dict.fromkeys((row.scheme, row.snr_db, row.cbr_target) for row in rows)
    channel = load_channel(swept.config.channels[0])
    found = []
    for name, snr_db, target in points:
        if not isinstance(scheme := swept.schemes[name], Bound):
            cbr = next(one for one in swept.config.cbrs if float(one) == target)
            sent = [_symbols(scheme, one, cbr, LinkState(*announce(channel, snr_db))) for one in images]
            found.append(measure_peaks(name, snr_db, target, sent))
    if not found:  # bounds send nothing
        return
    records = [one.record() for one in found]
    swept.write(swept.results.folder / TABLE, records_csv(list(records[0]), records).encode())
    for snr_db, target in dict.fromkeys((one.snr_db, one.cbr) for one in found):
        shown = [one for one in found if (one.snr_db, one.cbr) == (snr_db, target)]
        said = (value_words("snr", snr_db), value_words("cbr", target))
        title = ", ".join((*said, f"{len(images)} image{'s' * (len(images) > 1)}"))
        figure = figure_of_peaks(shown, swept.labels, title)
        save(figure, swept.figures, file_words(swept.name, "ccdf", *said), write=swept.write)


@torch.inference_mode()
def _symbols(scheme: Scheme, image: torch.Tensor, cbr: Fraction, state: LinkState) -> torch.Tensor:
    budget = channel_uses(cbr, (image.shape[-2], image.shape[-1]))
    return scheme.encode(image[None].clone(), budget, state).symbols[0].cpu().clone()


def measure_peaks(scheme: str, snr_db: float, cbr: float, sent: Sequence[torch.Tensor]) -> Peaks:
    """Lay symbols on the waveform and measure it; the free part of a last slot carries QPSK, as of another user.

    Args:
        scheme, snr_db, cbr: what the symbols are of.
        sent: complex64 [K] of each image.
    """
    waveform = Waveform(GRID)
    ratios, deviations = [], []
    for index, symbols in enumerate(sent):
        others = waveform.others(derive_key("peaks", index))
        samples = waveform.modulate(waveform.place(symbols, others))
        ratios.append(papr_db(samples).flatten())
        powers = samples.abs().double().square().mean(-1).flatten()[: len(symbols) // GRID.subcarriers or 1]
        deviations.append(float((10 * powers.log10()).square().mean() - (10 * powers.log10()).mean().square()))
    power = torch.cat(list(sent)).abs().double().square()
    mean = float(power.mean())
    kurtosis, peak = float(power.square().mean()) / mean**2, float(power.max()) / mean
    spread_db = max(0.0, float(np.mean(deviations))) ** 0.5
    ascending = np.sort(np.concatenate(ratios))
    return Peaks(scheme, snr_db, cbr, ascending, kurtosis, 10 * float(np.log10(peak)), spread_db)


def gaussian_ccdf(ratio_db: np.ndarray) -> np.ndarray:
    """P(PAPR > x) of OFDM whose samples are Gaussian: 1 - (1 - exp(-x))^(2.8 N) for N subcarriers.

    van Nee and de Wild, "Reducing the peak-to-average power ratio of OFDM", VTC 1998.
    """
    return 1 - (1 - np.exp(-(10 ** (ratio_db / 10)))) ** (_EFFECTIVE * GRID.subcarriers)


def figure_of_peaks(peaks: Sequence[Peaks], labels: Mapping[str, str], title: str) -> "Figure":
    """A staircase for each scheme, and the theory for Gaussian samples."""
    from matplotlib.figure import Figure

    looks, style = looks_of((one.scheme, False) for one in peaks), STYLES["paper"]
    with style.active():
        figure = Figure(figsize=(style.width * 1.3, style.height * 1.1), layout="constrained")
        axes = figure.add_subplot()
        for one in peaks:
            above = 1 - np.arange(1, len(one.papr_db) + 1) / len(one.papr_db)
            label = labels.get(one.scheme) or scheme_words(one.scheme)
            axes.step(one.papr_db, above, where="post", color=looks[one.scheme].colour, label=label)
        ratios = np.linspace(min(one.papr_db[0] for one in peaks), max(one.papr_db[-1] for one in peaks), 200)
        axes.plot(ratios, gaussian_ccdf(ratios), "--", color="#555555", label="Gaussian samples (theory)")
        axes.set_yscale("log")
        axes.set_ylim(0.5 / max(len(one.papr_db) for one in peaks), 1.2)
        axes.set_xlabel("PAPR of an OFDM symbol (dB)")
        axes.set_ylabel("Share of OFDM symbols above")
        figure.legend(title=title, loc="outside upper center", ncols=2)
    return figure
