"""The page: its layout, and what the two buttons do. `session` computes."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from simulator.app import curves, session, takeaway, views
from simulator.app.closer import Closer
from simulator.app.controls import (
    CodingControls,
    Controls,
    LinkControls,
    OfferedSchemes,
    PictureControls,
    coding_controls,
    link_controls,
    offer_schemes,
    picture_controls,
    read_origin,
    read_picture,
    read_settings,
)
from simulator.app.session import Machine, Outcome, Settings
from simulator.errors import SchemeError, UserError, explain
from simulator.spec.plugins import opening_schemes

CLEANING_S = (600, 3600)  # how often, and from which age on, the files of past presses are deleted
INTRODUCTION = """# Wireless image simulator
Send a picture over a simulated radio link, see what arrives and what it cost."""
KINDS = ("sent", "received", "equalised")
SLIDER_HEIGHT = 480
SWEEP = "Quality against SNR"
_PROGRESS = gr.Progress()
Compute = Callable[[tuple[Any, ...], gr.Progress], list[Any]]


def build(schemes: tuple[str, ...], machine: Machine) -> gr.Blocks:
    """The page that offers these schemes and runs them on this machine."""
    title = "Wireless image simulator"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=CLEANING_S, fill_width=True) as page:
        gr.Markdown(INTRODUCTION, elem_id="title")
        with gr.Row():
            with gr.Column(scale=2, min_width=290):
                picture, link, offered = picture_controls(), link_controls(), offer_schemes(schemes, machine)
            with gr.Column(scale=5, min_width=290), gr.Tabs():
                with gr.Tab("Send"):
                    _send_tab(picture, link, offered, machine)
                with gr.Tab("Compare"):
                    _compare_tab(picture, link, offered, machine)
    return page


def _send_tab(picture: PictureControls, link: LinkControls, offered: OfferedSchemes, machine: Machine) -> None:
    """One setting."""
    coding = coding_controls(_favourites(offered)[0], offered)
    with gr.Row():
        send = gr.Button("Send", variant="primary", elem_id="send", scale=3, min_width=120)
        sweep = gr.Button(SWEEP, elem_id="sweep", scale=2, min_width=120)
    status = gr.HTML(views.hint("Choose a picture and settings, then press Send."), elem_id="status", padding=False)
    _sweep_on_press(sweep, status, picture, link, [coding], machine)
    with gr.Column(visible=False, elem_id="results") as results:
        slider = _slider("Source (left) and received (right)")
        numbers = gr.HTML(elem_id="numbers", padding=False)
        closer = Closer("zoom")
        with gr.Row(equal_height=True):
            text = gr.Textbox(
                label="The same in a terminal", lines=2, interactive=False, buttons=["copy"], elem_id="command", scale=3
            )
            file = gr.DownloadButton("Download the received picture", elem_id="download", size="md", min_width=180)
        with gr.Row():
            plots = [gr.Plot(label=f"{kind.capitalize()} symbols", min_width=250) for kind in KINDS]
        bill = gr.HTML(elem_id="bill", padding=False)

    def compute(values: tuple[Any, ...], progress: gr.Progress) -> list[Any]:
        shown, linked, coded, (gain,) = _split(values, picture.all, link.all, coding.all, closer.inputs)
        outcome = _simulate(shown, read_settings(link, linked, coding, coded, machine), progress)
        called, is_scaled = read_origin(*shown)
        figures = views.constellations(outcome.constellation) if outcome.constellation else {}
        drawn = [gr.update(value=figures.get(kind), visible=kind in figures) for kind in KINDS]
        return [
            views.headline(outcome),
            gr.update(visible=True),
            (outcome.source, outcome.received),
            views.numbers(outcome),
            *closer.show({"source": outcome.source, "received": outcome.received}, gain),
            takeaway.command(outcome.settings, called, is_scaled),
            takeaway.offer(file, outcome, called),
            *drawn,
            views.bill(outcome),
        ]

    outputs = [status, results, slider, numbers, *closer.outputs, text, file, *plots, bill]
    _on_press(send, compute, picture.all + link.all + coding.all + closer.inputs, outputs)


def _compare_tab(picture: PictureControls, link: LinkControls, offered: OfferedSchemes, machine: Machine) -> None:
    """Two settings, the same picture and the same draw of the channel."""
    favourites = _favourites(offered)
    gr.Markdown("**A**", elem_classes="side")
    one = coding_controls(favourites[0], offered)
    gr.Markdown("**B**", elem_classes="side")
    other = coding_controls(favourites[min(1, len(favourites) - 1)], offered)
    with gr.Row():
        send = gr.Button("Send both", variant="primary", elem_id="send-both", scale=3, min_width=120)
        sweep = gr.Button(SWEEP, elem_id="sweep-both", scale=2, min_width=120)
    text = "Both send the same picture over the same draw of the channel. Choose two settings, then press Send both."
    status = gr.HTML(views.hint(text), elem_id="compare-status", padding=False)
    _sweep_on_press(sweep, status, picture, link, [one, other], machine)
    with gr.Column(visible=False, elem_id="compare-results") as results:
        slider = _slider("Received: A (left) and B (right)")
        table = gr.HTML(elem_id="comparison", padding=False)
        closer = Closer("zoom-both")
        with gr.Row():
            plots = [gr.Plot(label=f"{side}: symbols at the receiver", min_width=250) for side in "AB"]

    def compute(values: tuple[Any, ...], progress: gr.Progress) -> list[Any]:
        groups = (picture.all, link.all, one.all, other.all, closer.inputs)
        shown, linked, *coded, (gain,) = _split(values, *groups)
        sides = zip((one, other), coded, strict=True)
        settings = [read_settings(link, linked, coding, values, machine) for coding, values in sides]
        first, second = (_simulate(shown, one, progress) for one in settings)
        figures = views.side_by_side(first.constellation, second.constellation)
        return [
            views.same_draw(first, second),
            gr.update(visible=True),
            (first.received, second.received),
            views.comparison(first, second),
            *closer.show({"source": first.source, "A": first.received, "B": second.received}, gain),
            *(gr.update(value=figure, visible=figure is not None) for figure in figures),
        ]

    outputs = [status, results, slider, table, *closer.outputs, *plots]
    _on_press(send, compute, picture.all + link.all + one.all + other.all + closer.inputs, outputs)


def _sweep_on_press(
    button: gr.Button,
    status: gr.HTML,
    picture: PictureControls,
    link: LinkControls,
    codings: list[CodingControls],
    machine: Machine,
) -> None:
    """Draw the quality of each setting against SNR here, for the current picture and one draw of the channel."""
    with gr.Column(visible=False, elem_classes="curves") as place:
        plot = gr.Plot(label="Quality of this picture against SNR")

    def compute(values: tuple[Any, ...], progress: gr.Progress) -> list[Any]:
        shown, linked, *coded = _split(values, picture.all, link.all, *(one.all for one in codings))
        sides = zip(codings, coded, strict=True)
        settings = [read_settings(link, linked, coding, values, machine) for coding, values in sides]
        rgb, lpips = read_picture(*shown), session.find_lpips()
        total = sum(len(curves.snrs_of(one)) for one in settings)
        found: list[list[Outcome]] = [[] for _ in settings]
        progress((0, total), desc="Sending at several SNRs", unit="trips")
        for number, outcome in curves.measure(settings, lambda one: session.simulate(one, rgb, lpips)):
            found[number].append(outcome)
            progress((sum(map(len, found)), total), desc="Sending at several SNRs", unit="trips")
        text = f"{total} trips of this picture over {settings[0].channel}; the dotted line is the SNR that is chosen."
        return [views.hint(text), gr.update(visible=True), curves.draw(found, settings[0].snr_db)]

    inputs = picture.all + link.all + [control for one in codings for control in one.all]
    _on_press(button, compute, inputs, [status, place, plot])


def _slider(label: str) -> gr.ImageSlider:
    return gr.ImageSlider(
        label=label, format="png", height=SLIDER_HEIGHT, max_height=SLIDER_HEIGHT, buttons=["fullscreen"]
    )


def _on_press(button: gr.Button, compute: Compute, inputs: Controls, outputs: Sequence[Any]) -> None:
    """Run on a press, one at a time; errors appear in the first output and as a warning."""

    def run(progress: gr.Progress = _PROGRESS, *values: Any) -> list[Any]:
        try:
            return compute(values, progress)
        except (
            Exception
        ) as error:  # another package's scheme may break in any way; the page reports it and stays usable
            reason = explain(error, UserError, SchemeError)
            gr.Warning(escape(reason), title="Not sent")
            return [views.refusal(reason), gr.update(visible=False), *[gr.skip()] * (len(outputs) - 2)]

    status, *_ = outputs
    button.click(
        run,
        inputs,
        list(outputs),
        preprocess=False,  # the functions of the command line check the values
        show_progress_on=[status],
        concurrency_id="link",
        concurrency_limit=1,
        trigger_mode="once",
        api_visibility="private",
    )


def _simulate(picture: tuple[Any, ...], settings: Settings, progress: gr.Progress) -> Outcome:
    """One trip of the picture that the controls hold."""
    rgb = read_picture(*picture)
    progress(0.1, desc=f"Loading {settings.scheme}")
    session.find_scheme(settings.scheme, settings.machine)
    progress(0.3, desc=f"Sending with {settings.scheme} over {settings.channel}")
    return session.simulate(settings, rgb, session.find_lpips())


def _split(values: tuple[Any, ...], *groups: Controls) -> list[tuple[Any, ...]]:
    """The values of each group of controls."""
    parts, start = [], 0
    for group in groups:
        parts.append(values[start : start + len(group)])
        start += len(group)
    return parts


def _favourites(offered: OfferedSchemes) -> list[str]:
    """Schemes to open with: of those offered, the ones that declare it, else any.

    Raises:
        UserError: there is none at all.
    """
    if not offered.cbrs:
        raise UserError("no scheme is installed; install the package again (pip install -e .)")
    return [name for name in opening_schemes() if name in offered.cbrs] or list(offered.cbrs)
