"""What a DeepJSCC net starts from: a linear codec, a net for more channel uses, or a smaller net."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import torch

from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig, block_statistics
from simulator.errors import UserError
from simulator.models.training.data import ImageStore
from simulator.randomness import derive_key

STATISTICS_IMAGES = 300
GROWING = ("decoder_blocks", "detail_width", "detail_blocks")  # sizes that `grow` may find larger than in the source
State = Mapping[str, torch.Tensor]


def linear_start(config: NetConfig, store: ImageStore) -> DeepJsccNet:
    """A net that is a linear codec, fitted to some training images."""
    torch.manual_seed(derive_key("deepjscc", config.uses))
    model = DeepJsccNet(config)
    picked = sorted(range(len(store)), key=lambda index: store.digests[index])[:STATISTICS_IMAGES]
    images = [torch.from_numpy(store.images[i].copy()).permute(2, 0, 1).float() / 255 for i in picked]
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


@torch.no_grad()
def grow(model: DeepJsccNet, source: State) -> None:
    """Give `model` the weights of a smaller net, so that it computes what that one computes.

    Blocks and layers that the source lacks keep their own start, which must be the identity. Channels that it lacks
    keep theirs, too, but none of its own channels listens to them yet.

    Args:
        model: freshly built, at least as deep and wide as the source, for as many channel uses.
        source: state dict of the smaller net.
    """
    state = model.state_dict()
    for name, old in source.items():
        new, own = state[name], tuple(slice(0, size) for size in old.shape)
        if old.ndim > 1:
            new[: old.shape[0]] = 0
        new[own] = old
    model.load_state_dict(state)


def check_growth(config: NetConfig, released: Mapping[str, int], name: str) -> NetConfig:
    """The configuration of the weights `name`, if `config` differs by a deeper or wider generator alone.

    Raises:
        UserError: it differs otherwise.
    """
    theirs = NetConfig(**released)
    grown = {key: max(getattr(config, key), getattr(theirs, key)) for key in GROWING}
    if config != replace(theirs, uses=config.uses, **grown) or config.uses > theirs.uses:
        sizes = ", ".join(f"{key} {value}" for key, value in asdict(theirs).items())
        raise UserError(
            f"'model' cannot start from '{name}' ({sizes}); only {', '.join(GROWING)} may be larger than there, and "
            "'uses' smaller"
        )
    return theirs
