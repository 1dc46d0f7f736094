"""The scheme `lrisc`: Fig. 1 as a link end, with everything that the receiver needs billed."""

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from simulator.channels import Received
from simulator.errors import UserError
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, adaptation, outage_image
from simulator.models.lrisc.airframe import (
    demodulate_scale,
    demodulate_side_information,
    modulate_scale,
    modulate_side_information,
)
from simulator.models.lrisc.codec import Estimate, Lrisc
from simulator.models.lrisc.config import STRIDE, LriscConfig, Variant
from simulator.models.lrisc.jscc import WEAKEST, component_power, effective_snr_db, sent_mask
from simulator.models.lrisc.planning import plan_fixed, plan_transmission
from simulator.models.pretrained import build_network, find_weights, load_pretrained
from simulator.phy.mcs import thresholds
from simulator.randomness import derive_key
from simulator.spec.configuration import read_snr_range

WEIGHTS = "lrisc-compact"
_REVISION = 6  # of what this file and airframe.py put on the air and take from it
_OPTIONS = {"weights": "a released name or FOLDER", "steps": "1..1000", "gamma": "0..1", "seed": "a whole number"}


class LriscScheme:
    """LRISC with released weights or one's own. One image at a time, so that a batch never changes a result."""

    def __init__(self, *options: str) -> None:
        """Options: `weights=W` (as `find_weights` takes them), `steps=N` (DDIM steps), `gamma=G` (size of x_N; 0 is
        the PSNR end, of which the transmitter is told), `seed=S` (of x_N). Steps and gamma default to the model card's.

        Raises:
            UserError: an option or value it does not know, or no such weights.
        """
        given = _split_options(options)
        weights = given.pop("weights", WEIGHTS).rstrip("/")
        state, card = load_pretrained(WEIGHTS) if weights == WEIGHTS else find_weights(weights, "lrisc").load()
        config = _card_config(card, weights)
        defaults = config["defaults"] | {"seed": 0}
        values = defaults | _read_values(given)
        self.steps, self.gamma, self.seed = int(values["steps"]), values["gamma"], int(values["seed"])
        # One name per meaning: what equals the default goes unsaid, the rest has one order and one spelling.
        said = [f"weights={weights}"] if weights != WEIGHTS else []
        said += [f"{key}={value:.12g}" for key, value in values.items() if value != defaults[key]]
        self.name = ":".join(["lrisc", *said])
        self._digest, self._trained_snr_db = card["sha256"], config["snr_db"]
        variant = Variant.from_mapping(config.get("variant") or {})
        sizes = LriscConfig.from_mapping(config["model"])
        self.model = build_network(lambda: Lrisc(sizes, variant), state, weights)
        self.model.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = torch.device("cpu")
        self.precision = "fp32"

    def to(self, device: str) -> "LriscScheme":
        """Compute on another torch device; returns the scheme."""
        self.device = torch.device(device)
        self.model.to(self.device)
        return self

    def compute_in(self, precision: str) -> "LriscScheme":
        """Run the diffusion decoder in "fp32" or "bf16"; returns the scheme.

        All that both ends must agree on stays in float32: what is on the air is the same bits either way.
        """
        self.precision = precision
        return self

    def fingerprint(self) -> str:
        """Hash of the weights, of what protects header and map, and the receiver's settings."""
        table = hashlib.sha256(repr((thresholds()["snr_db"], adaptation.REVISION)).encode()).hexdigest()
        parts = [self._digest, table[:16], _REVISION, self.steps, self.gamma, self.seed, self._trained_snr_db]
        if self.model.variant != Variant():
            parts.append(self.model.variant)
        return ":".join(map(str, parts))

    def supports(self, cbr: Fraction) -> str | None:
        """Why the scheme cannot run at a bandwidth ratio, or None when it can."""
        levels, values = self.model.config.rate_levels, 3 * STRIDE**2
        # Every vector sends the narrowest level at least, and header and map take about a third of that.
        lowest, highest = Fraction(4 * levels[0], 3 * 2 * values), Fraction(levels[-1], 2 * values)
        if lowest <= cbr <= highest:
            return None
        return (
            f"its latent vectors have {levels[0]} to {levels[-1]} components per {STRIDE}x{STRIDE} pixels, "
            f"which fill CBR {lowest} to {highest}; choose one between them"
        )

    @torch.inference_mode()
    def encode(self, images: Tensor, budget: int, state: LinkState) -> Transmission:
        """Send float32 images [B, 3, H, W] in at most `budget` symbols each, chosen by beta per image."""
        sent = [self._encode_one(image, budget, state) for image in images]
        return Transmission([symbols for symbols, _ in sent], [ledger for _, ledger in sent])

    def _encode_one(self, image: Tensor, budget: int, state: LinkState) -> tuple[Tensor, SymbolLedger]:
        x = pad_to_stride(image[None].to(self.device) * 2 - 1)
        latent = self.model.analyse(x, self._fidelity())
        plan = plan_transmission(self.model, latent.bits[0].cpu(), budget, state)
        if plan is None:  # not even the coarsest map fits: nothing useful can be said
            return torch.zeros(budget, dtype=torch.complex64), SymbolLedger(padding=budget)
        levels = plan.levels[None].to(self.device)
        snr_db = self._known_snr(state).to(self.device)
        features = self.model.features(latent.z)
        mask = sent_mask(levels.flatten(1), self.model.levels)
        power = self.model.allocation.power(levels, mask, snr_db)
        adapt = self.model.variant.snr_module
        components = self.model.encoder(features, levels, self.model.allocation, power, snr_db, self._fidelity(), adapt)
        power_db = 10 * math.log10(2 * float(component_power(components, mask)))
        scale_db = -math.ceil(power_db * 100) / 100  # rounded so that the power never exceeds one
        flat = components[mask].cpu() * 10 ** (scale_db / 20)
        latents = torch.view_as_complex(flat.reshape(-1, 2))
        if self.model.variant.rates == "fixed":
            head, bill = modulate_scale(scale_db, state, budget)
        else:
            head, bill = modulate_side_information(plan.packed, plan.grid, scale_db, state, budget)
        padding = budget - len(head) - len(latents)
        symbols = torch.cat([head, latents, torch.zeros(padding, dtype=torch.complex64)])
        return symbols, bill + SymbolLedger(payload=len(latents), padding=padding)

    @torch.inference_mode()
    def decode(self, reception: Reception) -> Decoded:
        """Rebuild each image; one whose header or map is lost is an outage."""
        size = reception.image_size
        decoded = [self._decode_one(received, size, reception.state) for received in reception.received]
        images = [outage_image(size) if image is None else image for image in decoded]
        return Decoded(torch.stack(images), [image is None for image in decoded])

    def _decode_one(self, received: Received, size: tuple[int, int], state: LinkState) -> Tensor | None:
        estimate = self._receive_latent(received, size, state)
        if estimate is None:
            return None
        shape = (1, 3, estimate.z.shape[-2] * STRIDE, estimate.z.shape[-1] * STRIDE)
        generator = torch.Generator().manual_seed(derive_key("x_N", self.seed, shape))
        start = self.gamma * torch.randn(shape, generator=generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            image = self.model.generate(estimate, start.to(self.device), self.steps)[0]
        return (image[:, : size[0], : size[1]].float().cpu() + 1) / 2

    @torch.inference_mode()
    def inspect(self, image: Tensor, reception: Reception) -> dict[str, Tensor]:
        """Pictures of z and its estimate for one image [3, H, W] and its reception, one pixel per vector.

        Both are projected on the three principal components of z, shown as red, green and blue with the range of z;
        a latent that was lost is grey.
        """
        x = pad_to_stride(image[None].to(self.device) * 2 - 1)
        sent = self.model.features(self.model.analyse(x, self._fidelity()).z)[0]
        back = self._receive_latent(reception.received[0], reception.image_size, reception.state)
        got = sent.mean((0, 1), keepdim=True).expand_as(sent) if back is None else self.model.features(back.z)[0]
        mean, axes = principal_axes(sent.flatten(0, 1).double().cpu())
        shown = [(one.double().cpu() - mean) @ axes for one in (sent, got)]  # [h, w, 3]
        reach = shown[0].flatten(0, 1).abs().quantile(0.98, dim=0).clamp_min(1e-9)
        pictures = [(0.5 + 0.5 * one / reach).clamp(0, 1).permute(2, 0, 1).float() for one in shown]
        return dict(zip(("latent", "received latent"), pictures, strict=True))

    def _known_snr(self, state: LinkState) -> Tensor:
        """What the networks are told of the link, [1]: no SNR that they were not trained for."""
        lowest, highest = self._trained_snr_db
        return torch.full((1,), min(max(state.snr_db, lowest), highest))

    def _fidelity(self) -> Tensor:
        """What the networks are told of the end that is asked for, [1]: 1 is the PSNR end."""
        return torch.full((1,), float(self.gamma == 0), device=self.device)

    def _receive_latent(self, received: Received, size: tuple[int, int], state: LinkState) -> Estimate | None:
        """f_d: from symbols to the estimate of z, or None when the side information is lost."""
        read = self._read_head(received, (-(-size[0] // STRIDE), -(-size[1] // STRIDE)), state)
        if read is None:
            return None
        levels, scale_db, start = read
        mask = sent_mask(levels.flatten(1), self.model.levels.cpu())
        part = slice(start, start + int(mask.sum()) // 2)
        if part.stop > len(received.symbols):  # a CRC held by accident
            return None
        received = received.for_analog()
        strength = received.gain[part].abs().square().clamp_min(WEAKEST)
        equalised = received.symbols[part] * received.gain[part].conj() / strength
        variance = received.noise_variance[part] / strength  # per complex symbol of unit power
        scale = 10 ** (scale_db / 20)
        components, relative = torch.zeros(mask.shape), torch.zeros(mask.shape)
        components[mask] = torch.view_as_real(equalised / scale).flatten()
        relative[mask] = variance.repeat_interleave(2)
        noise = relative / 2 / scale**2
        token_snr_db = effective_snr_db(relative, mask)
        link_snr_db = self._known_snr(state)
        tensors = (components, noise, levels, mask, link_snr_db, token_snr_db)
        components, noise, levels, mask, link_snr_db, token_snr_db = (t.to(self.device) for t in tensors)
        power = self.model.allocation.power(levels, mask, link_snr_db)
        told = token_snr_db if self.model.variant.snr_module else None
        return self.model.receive(components, noise, levels, mask, power, told, self._fidelity())

    def _read_head(
        self, received: Received, shape: tuple[int, int], state: LinkState
    ) -> tuple[Tensor, float, int] | None:
        """Levels [1, h, w], scale in dB and where the latents start; None when a CRC fails."""
        if self.model.variant.rates == "fixed":
            plan = plan_fixed(self.model, shape, len(received.symbols), state)
            scale_db = None if plan is None else demodulate_scale(received, state)
            return None if plan is None or scale_db is None else (plan.levels[None], scale_db, plan.side_uses)
        read = demodulate_side_information(received, shape, self.model.levels.cpu(), state)
        return None if read is None else (torch.from_numpy(read[0].levels)[None], read[0].scale_db, read[1])


def _card_config(card: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """What a model card says of the network and its sampler.

    Raises:
        UserError: it does not say it.
    """
    config = card.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("defaults"), dict) or "model" not in config:
        raise UserError(f"the model card of '{weights}' does not describe LRISC; export it again")
    defaults = {key: str(config["defaults"].get(key)) for key in ("steps", "gamma")}
    trained = read_snr_range(config.get("snr_db"), f"'snr_db' in the model card of '{weights}'")
    return config | {"defaults": _read_values(defaults), "snr_db": trained}


def pad_to_stride(x: Tensor) -> Tensor:
    """Repeat the last row and column of [1, 3, H, W] until both sides are multiples of 16."""
    return F.pad(x, (0, -x.shape[-1] % STRIDE, 0, -x.shape[-2] % STRIDE), mode="replicate")


def principal_axes(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [C] and the three first principal axes [C, 3] of vectors [N, C], each with its largest entry positive."""
    mean = vectors.mean(dim=0)
    axes = torch.linalg.eigh((vectors - mean).T @ (vectors - mean)).eigenvectors[:, -3:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return mean, axes * largest.sign()


def _split_options(options: tuple[str, ...]) -> dict[str, str]:
    """`key=value` options as a mapping; each known key may be given once, with a value."""
    given: dict[str, str] = {}
    for option in options:
        key, _, text = option.partition("=")
        if key not in _OPTIONS or key in given or not text:
            raise _not_understood(option)
        given[key] = text
    return given


def _read_values(given: Mapping[str, str]) -> dict[str, float]:
    """The options that are numbers, held to their ranges."""
    values: dict[str, float] = {}
    for key, text in given.items():
        try:
            value = values[key] = float(text) if key == "gamma" else int(text)
        except ValueError:
            raise _not_understood(f"{key}={text}") from None
        if not {"steps": 1 <= value <= 1000, "gamma": 0 <= value <= 1, "seed": True}[key]:
            raise _not_understood(f"{key}={text}")
    return values


def _not_understood(option: str) -> UserError:
    known = ", ".join(f"{name}={allowed}" for name, allowed in _OPTIONS.items())
    return UserError(f"lrisc does not understand '{option}'; options, each once: {known}")
