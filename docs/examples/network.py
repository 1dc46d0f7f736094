"""A convolutional codec, 3 complex symbols per 4 x 4 pixels: CBR 1/16."""

import torch
from torch import nn

from simulator.codecs import SymbolCodec


class Network(nn.Module, SymbolCodec):
    stride = 4

    def __init__(self, weights=None):
        super().__init__()
        torch.manual_seed(0)  # random weights without a seed would be another codec in every process
        self.encoder = nn.Sequential(nn.Conv2d(3, 32, 5, 2, 2), nn.PReLU(), nn.Conv2d(32, 6, 5, 2, 2))
        up = nn.ConvTranspose2d(6, 32, 4, 2, 1), nn.PReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Sigmoid()
        self.decoder = nn.Sequential(*up)
        if weights:
            self.load_state_dict(torch.load(weights, weights_only=True))

    def encode(self, images, snr_db):
        return self.encoder(images)  # [B, 6, H/4, W/4]: neighbours along the last axis are one symbol

    def decode(self, symbols, snr_db, noise_variance, size):
        received = torch.view_as_real(symbols).reshape(-1, 6, size[0] // 4, size[1] // 4)
        return self.decoder(received)
