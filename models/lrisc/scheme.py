"""The scheme `lrisc`: header, rate map, scale and bill around the networks of Fig. 1."""

import hashlib
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from simulator.channels import Received
from simulator.errors import UserError
from simulator.images.pixels import pad_to_multiple
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, adaptation
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE, LriscConfig, Variant
from simulator.models.lrisc.frames import FRAMES, equalise
from simulator.models.lrisc.signals import Aim, Latent, LatentEstimate
from simulator.models.pretrained import build_network, find_weights, load_pretrained
from simulator.phy.mcs import thresholds
from simulator.randomness import derive_key
from simulator.spec.configuration import build, read_snr_range
from simulator.spec.options import Declaration, Number, Text
from simulator.spec.shown import Named

WEIGHTS = "lrisc-compact"
Worth = Callable[[Latent, Aim], Tensor]
_REVISION = 6  # of the signal format of this file and airframe.py


class LriscScheme(Named):
    """LRISC with released weights or your own. Images are processed one at a time: a batch never changes a result."""

    declaration = Declaration(
        "lrisc",
        "latent rate allocation, SNR-adaptive JSCC and a conditional diffusion decoder: the paper",
        {
            "weights": Text("NAME or FOLDER", f"a released name or a folder of your own (default: {WEIGHTS})"),
            "steps": Number(
                None, 1, 1000, whole=True, help="DDIM steps (default: the model card's)", slider=(1, 50, 1)
            ),
            "gamma": Number(
                None, 0, 1, help="size of x_N; 0 is the PSNR end (default: the model card's)", slider=(0, 1, 0.05)
            ),
            "seed": Number(0, 0, 2**53, whole=True, help="seed of x_N"),
        },
        standard=3,
        opening=1,
    )

    def __init__(self, *options: str) -> None:
        """Options: `weights=W` (as `find_weights` takes them), `steps=N` (DDIM steps), `gamma=G` (size of x_N; 0 is
        the PSNR end, which the transmitter also uses), `seed=S` (of x_N). Steps and gamma default to the model card's.

        Raises:
            UserError: an option or value it does not know, or no such weights.
        """
        chosen = self.declaration.read(options)
        weights = (chosen["weights"] or WEIGHTS).rstrip("/")
        state, card = load_pretrained(WEIGHTS) if weights == WEIGHTS else find_weights(weights, "lrisc").load()
        config = _card_config(card, weights)
        defaults = {"weights": WEIGHTS, **config["defaults"]}
        values = defaults | {key: value for key, value in chosen.items() if value is not None} | {"weights": weights}
        self.settings: dict[str, Any] = values
        self.steps, self.gamma, self.seed = int(values["steps"]), float(values["gamma"]), int(values["seed"])
        # One name per meaning: the card's defaults are left out, as the declared ones are.
        self.name = self.declaration.spell(
            {key: None if value == defaults.get(key) else value for key, value in values.items()}
        )
        self._digest, self._trained_snr_db = card["sha256"], config["snr_db"]
        self._fidelity = 1.0 if self.gamma == 0 else config["sent_fidelity"]
        self._variant = variant = build(Variant, config.get("variant") or {}, "'variant'")
        self._frame = FRAMES[variant.rates]
        sizes = build(LriscConfig, config["model"], "'model'")
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
        if self._variant != Variant():
            parts.append(self._variant)
        if 0 < self._fidelity < 1:
            parts.append(self._fidelity)
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
        sent = [self.send_image(image, budget, state) for image in images]
        return Transmission([symbols for symbols, _ in sent], [ledger for _, ledger in sent])

    def send_image(
        self, image: Tensor, budget: int, state: LinkState, worth: Worth | None = None, margin_db: float = 0.0
    ) -> tuple[Tensor, SymbolLedger]:
        """The `budget` symbols of an image [3, H, W] and their bill.

        Args:
            image: pixels in [0, 1].
            budget: channel uses.
            state: of the link.
            worth: bits of every latent vector, [1, h, w], from its latent and aim; None takes the entropy model's.
            margin_db: header and map are protected for an SNR that is so much lower.
        """
        aim, state = self._aim(state), state.lowered(margin_db)
        latent = self._analyse(image, aim)
        bits = latent.bits if worth is None else worth(latent, aim)
        plan = self._frame.plan(self.model, bits[0].cpu(), budget, state)
        if plan is None:  # not even the coarsest map fits
            return torch.zeros(budget, dtype=torch.complex64), SymbolLedger(padding=budget)
        sent = self.model.send(latent.z, plan.levels[None].to(self.device), aim)
        power_db = 10 * math.log10(2 * float(sent.mean_power))
        scale_db = -math.ceil(power_db * 100) / 100  # rounded so that the power never exceeds one
        flat = sent.components[sent.mask].cpu() * 10 ** (scale_db / 20)
        latents = torch.view_as_complex(flat.reshape(-1, 2))
        head, bill = self._frame.modulate(plan, scale_db, state, budget)
        padding = budget - len(head) - len(latents)
        symbols = torch.cat([head, latents, torch.zeros(padding, dtype=torch.complex64)])
        return symbols, bill + SymbolLedger(payload=len(latents), padding=padding)

    @torch.inference_mode()
    def decode(self, reception: Reception) -> Decoded:
        """Rebuild each image; one whose header or map is lost is an outage."""
        size = reception.image_size
        return Decoded.of([self.show_image(one, size, reception.state) for one in reception.received], size)

    def show_image(
        self, received: Received, size: tuple[int, int], state: LinkState, margin_db: float = 0.0
    ) -> Tensor | None:
        """Rebuild the image [3, H, W] that `send_image` sent, or None when its header or map is lost."""
        estimate = self._receive(received, size, state, margin_db)
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
        sent = self.model.features(self._analyse(image, self._aim(reception.state)).z)[0]
        back = self._receive(reception.received[0], reception.image_size, reception.state)
        got = sent.mean((0, 1), keepdim=True).expand_as(sent) if back is None else self.model.features(back.z)[0]
        mean, axes = three_principal_axes(sent.flatten(0, 1).double().cpu())
        shown = [(one.double().cpu() - mean) @ axes for one in (sent, got)]  # [h, w, 3]
        reach = shown[0].flatten(0, 1).abs().quantile(0.98, dim=0).clamp_min(1e-9)
        pictures = [(0.5 + 0.5 * one / reach).clamp(0, 1).permute(2, 0, 1).float() for one in shown]
        return dict(zip(("latent", "received latent"), pictures, strict=True))

    def _aim(self, state: LinkState) -> Aim:
        """The aim of one image; its SNR is clamped to the range that the networks were trained for."""
        lowest, highest = self._trained_snr_db
        snr_db = torch.full((1,), min(max(state.snr_db, lowest), highest))
        return Aim(snr_db.to(self.device), torch.full((1,), self._fidelity, device=self.device))

    def _analyse(self, image: Tensor, aim: Aim) -> Latent:
        return self.model.analyse(pad_to_multiple(image[None].to(self.device) * 2 - 1, STRIDE), aim)

    def _receive(
        self, received: Received, size: tuple[int, int], state: LinkState, margin_db: float = 0.0
    ) -> LatentEstimate | None:
        """The received latent, or None when header, map or symbols are lost."""
        shape, values = (-(-size[0] // STRIDE), -(-size[1] // STRIDE)), self.model.levels.cpu()
        head = self._frame.read(received, shape, values, state.lowered(margin_db))
        equalised = None if head is None else equalise(received, head, values)
        return None if equalised is None else self.model.receive(equalised.to(self.device), self._aim(state))


def _card_config(card: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """The network and sampler settings of a model card.

    Raises:
        UserError: the card lacks them.
    """
    config = card.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("defaults"), dict) or "model" not in config:
        raise UserError(f"the model card of '{weights}' does not describe LRISC; export it again")
    options = LriscScheme.declaration.options
    defaults = {key: options[key].read(str(config["defaults"].get(key))) for key in ("steps", "gamma")}
    if None in defaults.values():
        raise UserError(
            f"'defaults' in the model card of '{weights}' must have steps ({options['steps']}) and gamma "
            f"({options['gamma']}); export it again"
        )
    trained = read_snr_range(config.get("snr_db"), f"'snr_db' in the model card of '{weights}'")
    fidelity = config.get("sent_fidelity", 0.0)  # older cards lack it
    if type(fidelity) not in (int, float) or not 0 <= fidelity < 1:
        raise UserError(f"'sent_fidelity' in the model card of '{weights}' must be a number from 0 to below 1")
    return config | {"defaults": defaults, "snr_db": trained, "sent_fidelity": fidelity}


def three_principal_axes(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [C] and the three first principal axes [C, 3] of vectors [N, C], each with its largest entry positive."""
    mean = vectors.mean(dim=0)
    axes = torch.linalg.eigh((vectors - mean).T @ (vectors - mean)).eigenvectors[:, -3:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return mean, axes * largest.sign()
