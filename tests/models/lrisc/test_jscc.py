"""f_e, f_d and the SNR-adaptive module (Fig. 2 and Fig. 3)."""

import pytest
import torch
from torch import nn

from models.lrisc.jscc import JsccDecoder, JsccEncoder, WindowAttention, component_power, sent_mask
from models.lrisc.snr import SnrAdaptation, SnrModulation

VALUES = torch.tensor([2.0, 4, 6, 12])


@pytest.fixture
def levels() -> torch.Tensor:
    return torch.randint(0, 4, (2, 5, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(2, 5, 7, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(4, 8), (5, 7), (1, 2), (9, 3)])
@pytest.mark.parametrize("shift", [0, 2])
def test_window_attention_is_attention_within_windows(config, size, shift):
    """Held to the definition, vector by vector: what lies outside the grid has no say."""
    torch.manual_seed(0)
    attention = WindowAttention(config)
    nn.init.normal_(attention.bias)
    nn.init.normal_(attention.project.weight)
    side, heads = config.jscc_window, config.jscc_heads
    x = torch.randn(1, *size, 12)
    q, k, v = attention.qkv(x[0]).reshape(*size, 3, heads, -1).unbind(2)
    expected = torch.empty(1, *size, 12)
    places = [(row, column) for row in range(size[0]) for column in range(size[1])]
    for row, column in places:
        window = [
            (r, c)
            for r, c in places
            if (r + shift) // side == (row + shift) // side and (c + shift) // side == (column + shift) // side
        ]
        keys, values = torch.stack([k[p] for p in window]), torch.stack([v[p] for p in window])  # [n, heads, d]
        offsets = torch.tensor([(row - r + side - 1) * (2 * side - 1) + column - c + side - 1 for r, c in window])
        logits = torch.einsum("hd,nhd->nh", q[row, column], keys) / keys.shape[-1] ** 0.5 + attention.bias[offsets]
        out = torch.einsum("nh,nhd->hd", logits.softmax(dim=0), values).flatten()
        expected[0, row, column] = attention.project(out)
    torch.testing.assert_close(attention(x, shift), expected, atol=1e-5, rtol=1e-4)


def test_snr_module_has_eight_layers_and_seven_modulations():
    module = SnrAdaptation(12, 1.5)
    assert sum(isinstance(layer, nn.Linear) for layer in (module.enter, *module.hidden, module.leave)) == 8
    assert len(module.modulations) == 7
    for modulation in module.modulations:
        assert isinstance(modulation, SnrModulation)
        assert sum(isinstance(layer, nn.Linear) for layer in modulation.net) == 3
    assert module.enter.out_features == 18


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 7.0, 20.0])
def test_snr_module_is_a_gate(snr_db):
    torch.manual_seed(0)
    module, x = SnrAdaptation(12, 0.75), torch.randn(2, 9, 12)
    fresh = module(x, torch.full((2, 1), snr_db)) / x
    torch.testing.assert_close(fresh, torch.full_like(fresh, 0.982), atol=5e-3, rtol=0)  # open at the start
    nn.init.normal_(module.leave.weight, std=0.3)
    gate = module(x, torch.full((2, 1), snr_db)) / x
    assert ((gate > 0) & (gate < 1)).all()
    factors = module.modulations[0](torch.full((3, 1), snr_db))
    assert ((factors > 0) & (factors < 1)).all()


def test_each_vector_is_told_its_own_snr():
    torch.manual_seed(0)
    module, x = SnrAdaptation(12, 0.75), torch.randn(1, 3, 12)
    nn.init.normal_(module.leave.weight)
    mixed = module(x, torch.tensor([[0.0, 10.0, 20.0]]))
    for index, snr_db in enumerate((0.0, 10.0, 20.0)):
        alone = module(x, torch.full((1, 1), snr_db))
        torch.testing.assert_close(mixed[:, index], alone[:, index])
    assert not torch.allclose(mixed, module(x, torch.full((1, 1), 0.0)))


def test_encoder_sends_as_many_components_as_the_level_says(model, features, levels):
    out = model.encoder(features, levels, torch.full((2, 1), 10.0))
    mask = sent_mask(levels.flatten(1), VALUES)
    assert out.shape == (2, 35, 12)
    assert torch.equal(mask.sum(dim=2).float(), VALUES[levels.flatten(1)])
    assert (out[~mask] == 0).all()
    assert (out[mask] != 0).all()


def test_each_vector_goes_through_the_layer_of_its_level(model, levels):
    x = torch.randn(70, 12, generator=torch.Generator().manual_seed(2))
    out = model.encoder.rates(x, levels.flatten(), 12)
    for index, level in enumerate(levels.flatten().tolist()):
        expected = model.encoder.rates.layers[level](x[index])
        torch.testing.assert_close(out[index, : len(expected)], expected)


def test_power_counts_sent_components_of_each_image_alone():
    mask = torch.tensor([[[True, False]], [[True, True]]])
    components = torch.tensor([[[2.0, 9.0]], [[1.0, 3.0]]])
    assert component_power(components, mask).tolist() == [4.0, 5.0]


def test_softcast_start_returns_the_features_at_full_rate(config, features):
    """Without noise f_d undoes f_e; only the small rate tokens of both ends are added."""
    encoder, decoder = JsccEncoder(config), JsccDecoder(config)
    deviations = torch.linspace(3, 0.2, 12)
    encoder.start(deviations)
    decoder.start(deviations)
    levels = torch.full((2, 5, 7), 3)
    components = encoder(features, levels, None)
    back = decoder(components, torch.tensor(1e-9), levels, None)
    torch.testing.assert_close(back, features + encoder.tokens(levels) + decoder.tokens(levels), atol=1e-4, rtol=1e-4)
    assert (back - features).abs().max() < 0.2


def test_softcast_start_drops_the_channels_of_least_variance(config, features, levels):
    encoder, decoder = JsccEncoder(config), JsccDecoder(config)
    for coder in (encoder, decoder):
        nn.init.zeros_(coder.tokens.weight)
    back = decoder(encoder(features, levels, None), torch.tensor(0.0), levels, None)
    kept = torch.arange(12) < VALUES[levels][..., None]
    torch.testing.assert_close(back, features * kept)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_softcast_start_is_the_linear_mmse_receiver(config, snr_db):
    """The error of each channel is that of scalar MMSE estimation, 1 / (1 + power / noise)."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 60, 60, 12, generator=generator)
    levels, deviations = torch.full((1, 60, 60), 3), torch.linspace(3, 0.2, 12)
    encoder, decoder = JsccEncoder(config), JsccDecoder(config)
    for coder in (encoder, decoder):
        coder.start(deviations)
        nn.init.zeros_(coder.tokens.weight)
    with torch.no_grad():
        components = encoder(features, levels, None)
        noise = float(components.square().mean()) * 10 ** (-snr_db / 10)
        received = components + noise**0.5 * torch.randn(components.shape, generator=generator)
        back = decoder(received, torch.tensor(noise), levels, None)
    error = (back - features).square().mean(dim=(0, 1, 2))
    torch.testing.assert_close(error, 1 / (1 + deviations / noise), rtol=0.08, atol=0)


def test_batch_of_two_equals_two_batches_of_one(model, features, levels):
    snr_db = torch.tensor([[3.0], [12.0]])
    with torch.no_grad():
        sent = model.encoder(features, levels, snr_db)
        back = model.decoder(sent, torch.full((2, 1, 1), 0.1), levels, snr_db)
        for i in range(2):
            one = slice(i, i + 1)
            alone = model.encoder(features[one], levels[one], snr_db[one])
            torch.testing.assert_close(sent[one], alone, atol=1e-5, rtol=1e-5)
            again = model.decoder(alone, torch.full((1, 1, 1), 0.1), levels[one], snr_db[one])
            torch.testing.assert_close(back[one], again, atol=1e-5, rtol=1e-5)
