"""The SNR-adaptive module of Fig. 3: eight FC layers alternating with seven SNR modulations.

Each modulation gets the SNR and the end that the image is decoded for: the worth of a component depends on both.
"""

import torch
from torch import Tensor, nn

NUM_MODULATIONS = 7
SNR_UNIT_DB = 20.0  # brings 0-20 dB to 0-1
FIDELITY_UNIT = 8.0  # weights that read it start at zero and move slowly; this lets them matter soon


class SnrModulation(nn.Module):
    """SM: a three-layer network from SNR and fidelity to one factor in (0, 1) per feature."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(1, hidden)
        self.fidelity = nn.Parameter(torch.zeros(hidden))
        self.net = nn.Sequential(
            nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Sigmoid()
        )

    def forward(self, told: Tensor) -> Tensor:
        """SNR over `SNR_UNIT_DB` and fidelity times `FIDELITY_UNIT`, [..., 2] -> [..., width]."""
        return self.net(self.enter(told[..., :1]) + told[..., 1:] * self.fidelity)


class SnrAdaptation(nn.Module):
    """Gate features by what the SNR is worth to each: x * sigmoid(FC_8(SM_7 * FC_7(... SM_1 * FC_1(x))))."""

    def __init__(self, channels: int, expansion: float, hidden: int) -> None:
        super().__init__()
        width = round(channels * expansion)
        self.enter = nn.Linear(channels, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(NUM_MODULATIONS - 1))
        self.modulations = nn.ModuleList(SnrModulation(width, hidden) for _ in range(NUM_MODULATIONS))
        self.leave = nn.Linear(width, channels)
        for layer in (self.enter, *self.hidden):
            nn.init.orthogonal_(layer.weight, gain=2.0)  # each modulation starts near 1/2
        nn.init.normal_(self.leave.weight, std=1e-3)
        nn.init.constant_(self.leave.bias, 4.0)  # an open gate

    def forward(self, x: Tensor, snr_db: Tensor, fidelity: Tensor) -> Tensor:
        """Gate features.

        Args:
            x: [B, L, C].
            snr_db: of the symbols that carry each vector, [B, L] or [B, 1].
            fidelity: of each image (`Aim`), [B].

        Returns:
            [B, L, C].
        """
        told = torch.stack(torch.broadcast_tensors(snr_db / SNR_UNIT_DB, fidelity[:, None] * FIDELITY_UNIT), dim=2)
        # Without fading there are as many different values as rates: seven networks on a dozen rows, not on thousands.
        values, place = told.to(x.dtype).flatten(0, 1).unique(dim=0, return_inverse=True)
        place = place.unflatten(0, snr_db.shape)
        factors = [modulation(values)[place] for modulation in self.modulations]  # [B, L or 1, width]
        h = self.enter(x)
        for layer, factor in zip(self.hidden, factors, strict=False):
            h = layer(h * factor)
        h = self.leave(h * factors[-1])
        return x * torch.sigmoid(h)


class SilentSnrAdaptation(SnrAdaptation):
    """An ablation: holds the same weights, so that checkpoints keep their names and sizes, but passes features on."""

    def forward(self, x: Tensor, snr_db: Tensor, fidelity: Tensor) -> Tensor:
        """Return x [B, L, C]."""
        return x
