"""What the page offers to keep: the received picture as a file, and the command that sends it again."""

import re
import shlex
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from simulator.app.session import LONG_SIDE, Machine, Outcome, Settings
from simulator.results.gallery import encode_png


def command(settings: Settings, photo: str, scaled: bool) -> str:
    """The command that sends the same picture the same way.

    Args:
        settings: of the trip.
        photo: path or name of the picture.
        scaled: whether it was scaled down first.
    """
    words = ["python", "-m", "simulator", "transmit", photo]
    words += ["--resize", str(LONG_SIDE)] if scaled else []
    words += ["--scheme", settings.scheme, "--channel", settings.channel]
    words += ["--snr", f"{settings.snr_db:g}", "--cbr", str(settings.cbr)]
    usual = Machine()
    for option, value, default in (
        ("--realisation", settings.realisation, 0),
        ("--seed", settings.seed, 0),
        ("--device", settings.machine.device, usual.device),
        ("--precision", settings.machine.precision, usual.precision),
    ):
        words += [option, str(value)] if value != default else []
    return shlex.join([*words, "--out", "received.png"])


def file_name(outcome: Outcome, photo: str) -> str:
    """What the received picture is called as a file."""
    settings = outcome.settings
    parts = (Path(photo).stem, outcome.scheme, outcome.channel, f"{settings.snr_db:g}dB", f"cbr{settings.cbr}")
    return re.sub(r"[^\w.+-]+", "-", "-".join(parts)) + ".png"


def offer(button: gr.DownloadButton, outcome: Outcome, photo: str) -> dict:
    """An update with which the button offers the received picture, from Gradio's folder, which is emptied hourly."""
    path = save_bytes_to_cache(encode_png(outcome.received), file_name(outcome, photo), button.GRADIO_CACHE)
    return gr.update(value=path)
