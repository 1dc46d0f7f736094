"""What arrived of one picture, for scripts and notebooks."""

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import torch

from simulator.images import to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

BILL = ("payload", "side_information", "header", "crc", "padding", "pilots")


@dataclass(frozen=True, repr=False)
class Received:
    """A picture after one trip over the air.

    Attributes:
        label: scheme, channel and SNR.
        source, image: float32 [3, H, W] in [0, 1], what was sent and what the receiver shows.
        record: quality, cost and outage by the names that columns of results have.
    """

    label: str
    source: torch.Tensor
    image: torch.Tensor
    record: dict[str, Any]

    @property
    def psnr_db(self) -> float:
        """PSNR in dB."""
        return float(self.record["psnr_db"])

    @property
    def outage(self) -> bool:
        """Whether nothing could be decoded."""
        return bool(self.record["outage"])

    @property
    def cbr(self) -> float:
        """Billed channel uses per source value."""
        return float(self.record["cbr"])

    @property
    def bill(self) -> dict[str, int]:
        """Channel uses by what they were spent on."""
        return {item: int(self.record[item]) for item in BILL}

    def to_pil(self) -> "Image":
        """The received picture as a PIL image."""
        from PIL import Image

        return Image.fromarray(to_uint8(self.image))

    def __repr__(self) -> str:
        height, width = self.image.shape[1:]
        quality = "outage" if self.outage else f"{self.psnr_db:.2f} dB"
        return f"Received({width}x{height}, {self.label}: {quality}, CBR {self.cbr:.5f})"

    def _repr_html_(self) -> str:
        """Picture, numbers and bill for a notebook."""
        file = io.BytesIO()
        self.to_pil().save(file, "PNG")
        numbers = {"PSNR": f"{self.psnr_db:.2f} dB"}
        numbers |= {
            label: f"{self.record[name]:.4f}"
            for name, label in (("ms_ssim", "MS-SSIM"), ("lpips", "LPIPS"))
            if self.record.get(name) is not None
        }
        numbers |= {"CBR": f"{self.cbr:.5f}"} | {k.replace("_", " "): str(v) for k, v in self.bill.items() if v}
        lines = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in numbers.items())
        told = f"{escape(self.label)}{': <b>outage</b>' if self.outage else ''}"
        data = base64.b64encode(file.getvalue()).decode()
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="received picture" style="max-width:100%">'
            f"<figcaption>{told}</figcaption></figure><table>{lines}</table>"
        )
