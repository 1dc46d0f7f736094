"""Uncoded analog transmission after SoftCast (Jakubczak and Katabi 2011): DCT coefficients are the amplitudes."""

import torch
from torch.nn import functional

from simulator.link import Decoded, SymbolLedger, Transmission

N = torch.arange(8.0)
DCT = torch.cos(torch.pi * (2 * N + 1) * N[:, None] / 16) * torch.where(N == 0, 0.125, 0.25).sqrt()[:, None]
COLOUR = functional.normalize(torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]]))
LAW = torch.kron(torch.tensor([2.6, 0.8, 0.4]), (1 + N[:, None] + N).flatten() ** -1.8)  # usual deviations
DEVIATION, ORDER = LAW.sort(descending=True, stable=True)
BASIS = torch.kron(COLOUR, torch.kron(DCT, DCT))[ORDER]  # orthonormal: the 192 values of a block to coefficients
GAIN = DEVIATION.rsqrt()[:, None]  # least squared error at a given power
PILOT = 2.0


class Analog:
    def fingerprint(self):
        return "1"

    def encode(self, images, budget, state):
        pilots = max(1, budget // 256)  # they tell the receiver how the image was scaled
        padded = functional.pad(images, (0, -images.shape[3] % 8, 0, -images.shape[2] % 8), mode="replicate")
        amplitudes = GAIN * (BASIS @ functional.unfold(padded - 0.5, 8, stride=8))
        values = functional.pad(amplitudes.flatten(1)[:, : 2 * (budget - pilots)], (2 * pilots, 0), value=PILOT)
        symbols = torch.view_as_complex(values.reshape(len(images), budget, 2))
        symbols = symbols / symbols.abs().square().mean(1, keepdim=True).sqrt()  # every image by itself
        return Transmission(list(symbols), [SymbolLedger(budget - pilots, side_information=pilots)] * len(images))

    def decode(self, reception):
        size = tuple(-(-side // 8) * 8 for side in reception.image_size)
        shown = [self.show(one, size, max(1, len(one.symbols) // 256)) for one in reception.received]
        height, width = reception.image_size
        return Decoded(torch.cat(shown)[:, :, :height, :width].clamp(0, 1), [False] * len(shown))

    def show(self, received, size, pilots):
        values = torch.view_as_real(received.symbols / received.gain)
        scale = values[:pilots].mean().clamp(min=0.1) / PILOT
        noise = received.noise_variance / received.gain.abs().square() / 2 / scale**2
        coefficients = torch.zeros(192, size[0] * size[1] // 64)
        prior = DEVIATION[:, None].expand_as(coefficients).flatten()[: 2 * (len(values) - pilots)]
        wiener = prior / (prior + noise[pilots:].repeat_interleave(2))
        coefficients.view(-1)[: len(prior)] = wiener * values[pilots:].flatten() / scale
        return functional.fold((BASIS.T @ (coefficients / GAIN))[None], size, 8, stride=8) + 0.5
