"""How the transmitter spends a budget."""

import torch

from simulator.images import load_image_set
from simulator.images.pixels import pad_to_multiple
from simulator.link import LinkState
from simulator.models.lrisc.config import STRIDE
from simulator.models.lrisc.planning import plan_transmission, usual_grid
from simulator.models.lrisc.scheme import LriscScheme
from simulator.models.lrisc.signals import Aim

POINTS = [(cbr, snr_db) for cbr in (1 / 48, 1 / 24, 1 / 16, 1 / 12) for snr_db in (0.0, 2.5, 5.0, 10.0)]


def test_usual_grid_is_what_photographs_get():
    model, agreed = LriscScheme().model, []
    for image in load_image_set("samples"):
        with torch.inference_mode():
            x = pad_to_multiple(image.pixels[None] * 2 - 1, STRIDE)
            bits = model.analyse(x, Aim.clean(torch.zeros(1))).bits[0]
        for cbr, snr_db in POINTS:
            plan = plan_transmission(model, bits, int(cbr * 768 * bits.numel()), LinkState("awgn", snr_db))
            agreed.append(plan.grid == usual_grid(cbr, snr_db))
    assert sum(agreed) >= 0.9 * len(agreed)
    assert {usual_grid(cbr, snr_db) for cbr, snr_db in POINTS} == {1, 2, 4}
