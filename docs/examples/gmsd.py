"""Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik 2014): 0 for equal images, lower is better."""

import torch
from torch.nn.functional import avg_pool2d, conv2d

LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
PREWITT = torch.tensor([[1.0, 0, -1]] * 3) / 3
KERNELS = torch.stack([PREWITT, PREWITT.T])[:, None]
CONSTANT = 170 / 255**2


class Gmsd:
    name = "gmsd"
    higher_is_better = False

    def fingerprint(self):
        return "1"

    def measure(self, reference, shown):
        first, second = (self.gradients(image) for image in (reference, shown))
        similarity = (2 * first * second + CONSTANT) / (first**2 + second**2 + CONSTANT)
        return similarity.std(correction=0)

    def gradients(self, image):
        halved = avg_pool2d((LUMA * image).sum(0, keepdim=True), 2)
        return conv2d(halved[None], KERNELS, padding=1).square().sum(1).sqrt()
