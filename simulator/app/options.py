"""Controls for the options that schemes and channels declare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from simulator.channels.radio.options import RADIO
from simulator.errors import UserError
from simulator.spec.options import Choice, Declaration, Number, Option
from simulator.spec.plugins import CHANNELS, declarations

Field = tuple[str, Option]
Updates = list[dict[str, Any]]


@dataclass(frozen=True)
class Offer:
    """A scheme or channel that the page offers.

    Attributes:
        specification: as shown in the list of choices.
        declared: None if its options are unknown, so that they are typed.
        fields: options that the specification leaves open, with the values that their controls show at first.
    """

    specification: str
    declared: Declaration | None
    fields: dict[Field, Any]

    def read(self, typed: str, values: Mapping[Field, Any]) -> str:
        """The specification with what was changed, or typed."""
        if self.declared is None:
            rest = typed.strip().strip(":")
            return f"{self.specification}:{rest}" if rest else self.specification
        chosen: dict[str, Any] = {key: one.default for key, one in self.declared.options.items()}
        changed = {field[0]: values[field] for field, shown in self.fields.items() if values[field] != shown}
        # An empty field leaves the option out.
        chosen |= {key: value for key, value in changed.items() if value not in (None, "")}
        return self.declared.spell(chosen, self.specification)


def find_offers(group: str, specifications: tuple[str, ...], settings: Mapping[str, Mapping[str, Any]]) -> list[Offer]:
    """Offers by specification. `settings` has, by specification, values of options whose default is not declared."""
    known = {one.name: one for one in declarations(group) if one.declared}
    return [_offer(one, known.get(one.partition(":")[0]), group, settings.get(one, {})) for one in specifications]


def _offer(specification: str, declared: Declaration | None, group: str, settings: Mapping[str, Any]) -> Offer:
    if declared is None or (declared.form and not declared.options):
        return Offer(specification, None, {})
    if group == CHANNELS:
        declared = replace(declared, options={**declared.options, **RADIO})
    written = specification.split(":")[1:]
    given = {one.partition("=")[0] if "=" in one else declared.bare for one in written}
    left = [(key, one) for key, one in declared.options.items() if key not in given]
    return Offer(specification, declared, {(key, one): settings.get(key, one.default) for key, one in left})


class OptionControls:
    """A text box and one control for each option of any offer; those of the chosen offer are visible.

    Gradio puts them where they are made.
    """

    def __init__(self, offers: list[Offer], first: str, label: str) -> None:
        """`first` is the specification that is chosen at first, `label` that of the text box."""
        self._offers = {one.specification: one for one in offers}
        fields = dict.fromkeys(field for one in offers for field in one.fields)
        # Those that all share come last.
        self._fields = sorted(fields, key=lambda field: all(field in one.fields for one in offers if one.fields))
        text, *updates = self.updates(first)
        info = "As after the name on the command line; empty: defaults."
        box = gr.Textbox(label=label, info=info, max_lines=1, min_width=150, **text)
        controls = [_control(*field, update) for field, update in zip(self._fields, updates, strict=True)]
        self.all: list[gr.components.Component] = [box, *controls]

    def updates(self, specification: str) -> Updates:
        """What each control shows when this is chosen, in the order of `all`."""
        offer = self._offers[specification]
        text = {"value": "", "visible": offer.declared is None}
        shown = (
            {"value": offer.fields.get(one, one[1].default), "visible": one in offer.fields} for one in self._fields
        )
        return [text, *shown]

    def read(self, specification: str, values: Sequence[Any]) -> str:
        """The specification with what the controls hold, in the order of `all`; its options are not yet checked.

        Raises:
            UserError: it is not among the offers.
        """
        if specification not in self._offers:
            known = ", ".join(self._offers)
            raise UserError(f"this playground does not offer '{specification}'; choose one of: {known}")
        typed, *rest = values
        return self._offers[specification].read(typed, dict(zip(self._fields, rest, strict=True)))


def _control(key: str, option: Option, shown: dict[str, Any]) -> gr.components.Component:
    common: Any = {"label": key, "info": option.help, "min_width": 150, **shown}
    if isinstance(option, Choice):
        return gr.Dropdown(list(option.values), **common)
    if isinstance(option, Number) and option.slider:
        low, high, step = option.slider
        return gr.Slider(low, high, step=step, **common)
    if isinstance(option, Number):
        return gr.Number(minimum=option.low, maximum=option.high, step=option.step or 1, placeholder="-", **common)
    return gr.Textbox(placeholder=option.form, max_lines=1, **common)
