"""The SNR-adaptive module of Fig. 3: eight FC layers alternating with seven SNR modulations."""

import torch
from torch import Tensor, nn

NUM_MODULATIONS = 7
SNR_UNIT_DB = 20.0  # brings 0-20 dB to 0-1


class SnrModulation(nn.Module):
    """SM: a three-layer network from the SNR in dB to one factor in (0, 1) per feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Sigmoid()
        )

    def forward(self, snr_db: Tensor) -> Tensor:
        """[..., 1] -> [..., width]."""
        return self.net(snr_db / SNR_UNIT_DB)


class SnrAdaptation(nn.Module):
    """Gate features by what the SNR is worth to each: x * sigmoid(FC_8(SM_7 * FC_7(... SM_1 * FC_1(x))))."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        width = round(channels * expansion)
        self.enter = nn.Linear(channels, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(NUM_MODULATIONS - 1))
        self.modulations = nn.ModuleList(SnrModulation(width) for _ in range(NUM_MODULATIONS))
        self.leave = nn.Linear(width, channels)
        for layer in (self.enter, *self.hidden):
            nn.init.orthogonal_(layer.weight, gain=2.0)  # each modulation starts near 1/2
        nn.init.normal_(self.leave.weight, std=1e-3)
        nn.init.constant_(self.leave.bias, 4.0)  # an open gate

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """x [B, L, C], snr_db [B, L] or [B, 1] of the symbols that carry each vector -> [B, L, C]."""
        # Without fading there are as many different values as rates: seven networks on a dozen rows, not on thousands.
        values, place = snr_db.to(x.dtype).unique(return_inverse=True)
        factors = [modulation(values[:, None])[place] for modulation in self.modulations]  # [B, L or 1, width]
        h = self.enter(x)
        for layer, factor in zip(self.hidden, factors, strict=False):
            h = layer(h * factor)
        h = self.leave(h * factors[-1])
        return x * torch.sigmoid(h)
