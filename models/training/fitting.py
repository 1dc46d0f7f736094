"""Where the learned receiver starts: random features, and the last layers that fit them to the error of the codec.

Most of a coding error cannot be predicted, so that gradients are mostly noise: what gradient descent takes a thousand
steps for, least squares find in one pass over some hundred crops.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.layers import ResBlock
from simulator.models.receiver.net import ReceiverNet, expected_error
from simulator.models.training.data import ImageStore, training_batch
from simulator.models.training.pairs import apart
from simulator.models.training.restoring import EASY_MSE

CROPS, AT_ONCE = 480, 8
RIDGE = 1e-4  # of the mean energy of a feature


def crops(store: ImageStore, side: int) -> Iterator[Tensor]:
    """Batches of pairs, as `apart` takes them; side: of the crops, in pixels."""
    fitting = store.at_least(side)
    return (training_batch(fitting, 0, step, AT_ONCE, side) for step in range(CROPS // AT_ONCE))


@torch.no_grad()
def fit_last_layers(net: ReceiverNet, batches: Iterable[Tensor]) -> None:
    """Wake the residual branches at random, and fit `leave` and `linear` to the squared error at the PSNR end.

    Args:
        net: an untrained network, changed in place.
        batches: pairs.
    """
    for block in net.modules():
        if isinstance(block, ResBlock):
            block.conv2.reset_parameters()
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given, name=name: seen.__setitem__(name, given[0]))
        for name, layer in (("leave", net.leave), ("linear", net.linear))
    ]
    gram, target = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for batch in batches:
        picture, decoded, qp = apart(batch)
        error, decoded = 2 * (picture - decoded), decoded * 2 - 1
        net(torch.zeros_like(decoded), decoded, qp, torch.zeros_like(qp), torch.ones_like(qp))
        spread = expected_error(qp)
        weight = spread.square() / (error.square().mean(dim=(1, 2, 3)) / 4 + EASY_MSE)  # as the loss counts them
        inputs = [F.unfold(seen[name], 3, padding=1) for name in ("leave", "linear")]
        inputs.append(torch.ones_like(inputs[0][:, :1]))
        features = torch.cat(inputs, dim=1)
        wanted = F.pixel_unshuffle(error / spread[:, None, None, None], net.patch).flatten(2)
        weighted = features * weight[:, None, None]
        gram = gram + torch.einsum("bin,bjn->ij", weighted, features).double()
        target = target + torch.einsum("bin,bon->io", weighted, wanted).double()
    for hook in hooks:
        hook.remove()
    loading = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    solution = torch.linalg.solve(gram + loading, target).T.float()
    ends = [net.leave.weight[0].numel(), net.linear.weight[0].numel(), 1]
    leave, linear, bias = solution.split(ends, dim=1)
    _set(net.leave, leave, bias[:, 0])
    _set(net.linear, linear, torch.zeros_like(bias[:, 0]))


def _set(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    assert layer.bias is not None
    layer.bias.copy_(bias)
