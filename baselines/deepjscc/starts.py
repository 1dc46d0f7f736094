"""What a DeepJSCC net starts from: a linear codec, or a net for more channel uses."""

from collections.abc import Mapping

import torch

from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig, block_statistics
from simulator.errors import UserError
from simulator.models.training.data import ImageStore
from simulator.randomness import derive_key

STATISTICS_IMAGES = 300
State = Mapping[str, torch.Tensor]


def linear_start(config: NetConfig, store: ImageStore) -> DeepJsccNet:
    """A net that is a linear codec, fitted to some training images."""
    torch.manual_seed(derive_key("deepjscc", config.uses))
    model = DeepJsccNet(config)
    picked = store.first(STATISTICS_IMAGES).images
    images = [torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in picked]
    model.start_linear(*block_statistics(images))
    model.fit_spectrum(images)
    return model


def derive(config: NetConfig, source: State) -> DeepJsccNet:
    """A net for fewer channel uses, from the weights of one for more: it keeps the most important latents.

    Args:
        config: of the new net; equal to the source's but for `uses`.
        source: state dict of the larger net.

    Raises:
        UserError: the source's net is smaller.
    """
    model = DeepJsccNet(config)
    state = {}
    for name, tensor in model.state_dict().items():
        old = source[name]
        if name == "decoder.up.weight":  # its last input is the reliability map, not a latent
            old = torch.cat([old[:, : tensor.shape[1] - 1], old[:, -1:]], 1)
        state[name] = old[tuple(slice(0, size) for size in tensor.shape)].clone()
        if state[name].shape != tensor.shape:
            raise UserError(f"a net of {config.uses} channel uses cannot start from a smaller one; start from a larger")
    model.load_state_dict(state)
    return model
