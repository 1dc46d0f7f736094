"""The controls of the page, and what their values mean."""

import json
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from simulator.app import session
from simulator.app.options import Offer, OptionControls, find_offers
from simulator.app.session import LONG_SIDE, Machine, Settings
from simulator.errors import UserError
from simulator.images import SAMPLES, load_image, sample_files
from simulator.link import Bound, Scheme, capabilities
from simulator.spec.plugins import CHANNELS, SCHEMES, opening_schemes, plugin_names

MAX_UPLOAD_MB = 20
FORMATS = f"PNG, JPEG, WebP or TIFF of up to {MAX_UPLOAD_MB} MB. It stays on this machine."
THUMBNAIL = 96  # pixels
FIRST_CBR, FIRST_CHANNEL = "1/16", "awgn"
Controls = list[gr.components.Component]


@dataclass(frozen=True)
class PictureControls:
    """What is sent."""

    picture: gr.Image
    scale_down: gr.Checkbox
    origin: gr.State

    @property
    def all(self) -> Controls:
        """In the order in which `read_picture` and `read_origin` take their values."""
        return [self.picture, self.scale_down, self.origin]


@dataclass(frozen=True)
class LinkControls:
    """The link: common to two settings that are compared."""

    channel: gr.Dropdown
    snr_db: gr.Slider
    realisation: gr.Number
    seed: gr.Number
    options: OptionControls

    @property
    def all(self) -> Controls:
        """In the order in which `read_settings` takes their values."""
        return [self.channel, self.snr_db, self.realisation, self.seed, *self.options.all]


@dataclass(frozen=True)
class CodingControls:
    """How the picture becomes symbols."""

    scheme: gr.Dropdown
    cbr: gr.Dropdown
    options: OptionControls

    @property
    def all(self) -> Controls:
        """In the order in which `read_settings` takes their values."""
        return [self.scheme, self.cbr, *self.options.all]


@dataclass(frozen=True)
class OfferedSchemes:
    """The schemes of the page.

    Attributes:
        cbrs: what the choice of bandwidth ratios shows, by scheme.
        offers: of their options.
    """

    cbrs: dict[str, dict[str, Any]]
    offers: list[Offer]


def read_picture(picture: dict[str, Any] | None, scale_down: bool, _: str) -> np.ndarray:
    """The picture that the controls hold, uint8 [H, W, 3].

    Raises:
        UserError: there is none, or it cannot be sent.
    """
    if not picture or not picture.get("path"):
        raise UserError("no picture; drop one in, or choose a sample")
    return session.prepare(Path(picture["path"]), scale_down).rgb


def read_origin(_: dict[str, Any] | None, scale_down: bool, origin: str) -> tuple[str, bool]:
    """What to call the picture on the command line, and whether it was scaled down.

    A sample is called by its path, an upload by its name alone: Gradio's folder means nothing to the user.
    """
    path = Path(origin)
    called = str(path) if path in sample_files() else path.name
    return called, session.prepare(path, scale_down).is_scaled


def read_settings(
    link: LinkControls, linked: tuple[Any, ...], coding: CodingControls, coded: tuple[Any, ...], machine: Machine
) -> Settings:
    """The settings that the controls `link` and `coding` hold: `linked` and `coded`.

    Raises:
        UserError: an invalid value.
    """
    channel, snr_db, realisation, seed, *where = linked
    scheme, cbr, *how = coded
    scheme, channel = coding.options.read(scheme, how), link.options.read(channel, where)
    return session.read_settings(scheme, cbr, channel, snr_db, realisation, seed, machine)


def picture_controls() -> PictureControls:
    """A place to drop a picture, and samples. The picture that it shows is the one that will be sent."""
    picture = gr.Image(
        label="Picture",
        sources=["upload", "clipboard"],
        format="png",
        height=240,
        buttons=["fullscreen"],
        elem_id="picture",
    )
    caption = gr.Markdown(FORMATS, elem_id="caption", elem_classes="hint")
    samples = gr.Gallery(
        [_thumbnail(path) for path in sample_files()],
        label="Samples",
        show_label=False,
        container=False,
        columns=len(SAMPLES),
        height="auto",
        object_fit="cover",
        allow_preview=False,
        buttons=[],
        elem_id="samples",
    )
    scale_down = gr.Checkbox(
        True,
        label=f"Scale down to {LONG_SIDE} px",
        info="The long side of larger pictures, so that a press takes seconds.",
    )
    origin = gr.State("")  # where the picture came from, to scale it again
    shown = [picture, caption, origin]
    event: Any = partial(dict, api_visibility="private", show_progress="minimal", show_progress_on=[picture])
    # Gradio does not read the file: our reader refuses files that are not pictures, and decompression bombs.
    uploaded = [picture, scale_down]
    picture.upload(lambda upload, scale: _take(upload["path"], scale), uploaded, shown, preprocess=False, **event())
    picture.clear(lambda: (FORMATS, ""), None, [caption, origin], **event())
    scale_down.change(_take, [origin, scale_down], shown, **event())

    def take_sample(scale: bool, chosen: gr.SelectData) -> tuple[Any, ...]:
        return _take(str(sample_files()[chosen.index]), scale)

    samples.select(take_sample, [scale_down], shown, **event())
    return PictureControls(picture, scale_down, origin)


def _take(path: str, scale_down: bool) -> tuple[Any, str, str]:
    """Picture, caption and origin; a warning and an empty place if it cannot be sent."""
    if not path:
        return None, FORMATS, ""
    try:
        picture = session.prepare(Path(path), scale_down)
    except UserError as error:
        gr.Warning(escape(str(error)), title="This picture cannot be sent")
        return None, f"Refused: {error}.", ""
    (height, width), original = picture.rgb.shape[:2], picture.original
    scaled = "" if not picture.is_scaled else f", scaled down from {original[1]}×{original[0]}"
    return picture.rgb, f"{Path(path).name}: {width}×{height} pixels{scaled}.", path


def _thumbnail(path: Path) -> np.ndarray:
    """The centre of a picture, uint8 [THUMBNAIL, THUMBNAIL, 3]."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(load_image(path)), (THUMBNAIL, THUMBNAIL)))


def link_controls() -> LinkControls:
    """Channel, SNR and draw."""
    offers = find_offers(CHANNELS, tuple(plugin_names(CHANNELS)), {})
    names = [one.specification for one in offers]
    channel = gr.Dropdown(names, value=FIRST_CHANNEL, label="Channel", info="What is between the two ends.")
    snr_db = gr.Slider(-5, 25, 10, step=0.5, label="SNR (dB)", info="Average Es/N0 at the receiver.")
    with gr.Accordion("Channel options, realisation, seed", open=False):
        with gr.Row():
            whole: Any = partial(gr.Number, 0, precision=0, minimum=0, min_width=100)
            realisation = whole(label="Realisation", info="Number of the draw.")
            seed = whole(label="Seed", info="Of all draws.")
        with gr.Row():
            options = OptionControls(offers, FIRST_CHANNEL, "Channel options")
    _follow(channel, [], options.all, {name: options.updates(name) for name in names})
    return LinkControls(channel, snr_db, realisation, seed, options)


def offer_schemes(schemes: tuple[str, ...], machine: Machine) -> OfferedSchemes:
    """Load each scheme once, to ask what it takes."""
    loaded = {name: _load(name, machine) for name in schemes}
    offers = find_offers(SCHEMES, schemes, {name: capabilities(one).settings for name, one in loaded.items()})
    return OfferedSchemes({name: _cbrs(scheme) for name, scheme in loaded.items()}, offers)


def coding_controls(first: str, offered: OfferedSchemes) -> CodingControls:
    """Controls for one scheme; what they offer follows the scheme that is chosen."""
    cbrs, offers = offered.cbrs, offered.offers
    with gr.Row(equal_height=True):
        text = "From image to symbols."
        scheme = gr.Dropdown(list(cbrs), value=first, label="Scheme", info=text, min_width=150)
        text = "Channel uses per value; or type."
        cbr = gr.Dropdown(label="CBR", info=text, allow_custom_value=True, min_width=150, **cbrs[first])
        options = OptionControls(offers, first, "Scheme options")
    first_ones = opening_schemes()
    opening = [one for one in offers if one.specification in first_ones]
    usual = list(dict.fromkeys(key for one in opening for key, _ in one.fields))
    hints = {one.specification: _hint(one, cbrs[one.specification], usual) for one in offers}
    hint = gr.Markdown(hints[first], elem_classes=["hint", "scheme-hint"])
    updates = {name: [cbrs[name], *options.updates(name), {"value": hints[name]}] for name in cbrs}
    _follow(scheme, [cbr], [cbr, *options.all, hint], updates)
    return CodingControls(scheme, cbr, options)


def _load(name: str, machine: Machine) -> Scheme | Bound | None:
    try:
        return session.find_scheme(name, machine)
    except Exception:  # another package's scheme may fail in any way: pressing Send reports how
        return None


def _cbrs(scheme: Scheme | Bound | None) -> dict[str, Any]:
    """Bandwidth ratios to choose from."""
    cbrs = session.supported_cbrs(scheme)
    return {
        "choices": [(one, one) for one in cbrs],
        "value": FIRST_CBR if FIRST_CBR in cbrs else next(iter(cbrs), None),
    }


def _hint(offer: Offer, cbrs: dict[str, Any], usual: list[str]) -> str:
    """What the scheme is, which options it has, and which of the usual ones it lacks."""
    if offer.declared is None:
        return "Its options are typed, as after the name on the command line."
    own = [key for key, _ in offer.fields]
    summary = offer.declared.summary
    parts = [f"{summary[:1].upper()}{summary[1:]}. Options: {', '.join(own) or 'none'}."]
    if lacking := [key for key in usual if key not in own]:
        parts.append(f"It has no {', '.join(lacking)}.")
    ratios = [value for value, _ in cbrs["choices"]]
    if len(ratios) < len(session.USUAL_CBRS):
        parts.append(f"It runs at CBR {', '.join(ratios)}.")
    return " ".join(parts)


def _follow(
    chooser: gr.Dropdown, keeps: Controls, controls: Controls, updates: dict[str, list[dict[str, Any]]]
) -> None:
    """Let controls show what the chosen entry offers; those in `keeps`, the first, keep a value that it offers as well.

    It happens in the browser: a busy server would answer late and undo what was typed in the meantime.
    """
    shown = {name: [gr.update(**one) for one in updated] for name, updated in updates.items()}
    script = f"""(name, ...kept) => ({json.dumps(shown)})[name].map((update, index) => {{
  const {{value, ...others}} = update;
  return update.choices?.some(([, one]) => one === kept[index]) ? others : update;
}})"""
    chooser.change(None, [chooser, *keeps], controls, js=script, api_visibility="private")
