"""Small schemes of a stranger: found by entry point like any other, so that worker processes find them too."""

import math
import os
import signal
import time
from fractions import Fraction

import torch

from simulator.errors import UserError
from simulator.link import Decoded, SymbolLedger, Transmission, outage_image

BLOCK = 8


class Toy:
    """Sends the means of 8 x 8 blocks as amplitudes, without any coding."""

    name = "toy"

    def __init__(self, *options):
        if options:
            raise UserError(f"scheme '{self.name}' takes no options, got '{':'.join(options)}'")

    def fingerprint(self):
        return "1"

    def encode(self, images, budget, state):
        means = torch.nn.functional.avg_pool2d(images, BLOCK).flatten(1)
        count = min(budget, means.shape[1])
        symbols = [torch.complex(one[:count] - 0.5, torch.zeros(count)) for one in means]
        ledgers = [SymbolLedger.apportion(count, payload=3, header=1) for _ in images]
        return Transmission(symbols, ledgers)

    def decode(self, reception):
        height, width = reception.image_size
        images = []
        for one in reception.received:
            grid = torch.full((3, height // BLOCK, width // BLOCK), 0.5)
            values = (one.symbols / one.gain).real + 0.5
            grid.view(-1)[: len(values)] = values
            image = torch.nn.functional.interpolate(grid[None], (height, width))
            images.append(image[0].clamp(0, 1))
        return Decoded(torch.stack(images), [False] * len(images))


class Cliff(Toy):
    """Shows nothing at all below 3 dB."""

    name = "toy-cliff"

    def decode(self, reception):
        if reception.state.snr_db >= 3:
            return super().decode(reception)
        count = len(reception.received)
        return Decoded(outage_image(reception.image_size).expand(count, -1, -1, -1), [True] * count)


class Limit:
    """A bound: noise whose power falls with capacity."""

    name = "toy-bound"

    def fingerprint(self):
        return "1"

    def reconstruct(self, images, budget, realisations):
        per_use = [one.capacity_bits / budget for one in realisations]
        shown = [(image + 0.1 * math.exp(-bits)).clamp(0, 1) for image, bits in zip(images, per_use, strict=True)]
        return Decoded(torch.stack(shown), [False] * len(shown)), [SymbolLedger(payload=budget)] * len(shown)


class Slow(Toy):
    """Takes its time, so that it can be interrupted."""

    name = "toy-slow"

    def encode(self, images, budget, state):
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return super().encode(images, budget, state)


class Dying(Toy):
    """Its process is killed at 2 dB, as one that runs out of memory is."""

    name = "toy-dying"

    def encode(self, images, budget, state):
        if state.snr_db == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(images, budget, state)


class Raising(Toy):
    """Has a bug that shows at 2 dB."""

    name = "toy-raising"

    def encode(self, images, budget, state):
        if state.snr_db == 2:
            raise ZeroDivisionError("a bug")
        return super().encode(images, budget, state)


class Picky(Toy):
    """Made for one bandwidth ratio only."""

    name = "toy-picky"

    def supports(self, cbr):
        return None if cbr == Fraction(1, 16) else "it is made for CBR 1/16; ask for that one"
