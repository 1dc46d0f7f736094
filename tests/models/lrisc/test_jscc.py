"""f_e, f_d and the SNR-adaptive module (Fig. 2 and Fig. 3)."""

import pytest
import torch
from torch import nn

from simulator.models.lrisc.allocation import PowerAllocation
from simulator.models.lrisc.jscc import (
    JsccDecoder,
    JsccEncoder,
    WindowAttention,
    expected_error,
    mmse,
    sent_mask,
)
from simulator.models.lrisc.signals import Aim, Sent
from simulator.models.lrisc.snr import SnrAdaptation, SnrModulation

VALUES = torch.tensor([2.0, 4, 6, 12])
ENDS = torch.tensor([1.0, 0.0])  # the PSNR end for the first image


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
    module = SnrAdaptation(12, 1.5, 5)
    assert sum(isinstance(layer, nn.Linear) for layer in (module.enter, *module.hidden, module.leave)) == 8
    assert len(module.modulations) == 7
    for modulation in module.modulations:
        assert isinstance(modulation, SnrModulation)
        assert sum(isinstance(layer, nn.Linear) for layer in (modulation.enter, *modulation.net)) == 3
    assert module.enter.out_features == 18


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 7.0, 20.0])
def test_snr_module_is_a_gate(snr_db):
    torch.manual_seed(0)
    module, x = SnrAdaptation(12, 0.75, 9), torch.randn(2, 9, 12)
    fresh = module(x, torch.full((2, 1), snr_db), ENDS) / x
    torch.testing.assert_close(fresh, torch.full_like(fresh, 0.982), atol=5e-3, rtol=0)  # open at the start
    nn.init.normal_(module.leave.weight, std=0.3)
    gate = module(x, torch.full((2, 1), snr_db), ENDS) / x
    assert ((gate > 0) & (gate < 1)).all()
    factors = module.modulations[0](torch.full((3, 2), snr_db))
    assert ((factors > 0) & (factors < 1)).all()


def test_each_vector_is_told_its_own_snr_and_the_end_of_its_image():
    torch.manual_seed(0)
    module, x = SnrAdaptation(12, 0.75, 9), torch.randn(2, 3, 12)
    nn.init.normal_(module.leave.weight)
    for modulation in module.modulations:
        nn.init.normal_(modulation.fidelity)
    mixed = module(x, torch.tensor([[0.0, 10.0, 20.0]]).expand(2, 3), torch.tensor([0.0, 1.0]))
    for image in range(2):
        for index, snr_db in enumerate((0.0, 10.0, 20.0)):
            alone = module(x[image : image + 1], torch.full((1, 1), snr_db), torch.tensor([float(image)]))
            torch.testing.assert_close(mixed[image, index], alone[0, index])
    assert not torch.allclose(mixed, module(x, torch.zeros(2, 1), torch.tensor([0.0, 1.0])))
    assert not torch.allclose(mixed, module(x, torch.tensor([[0.0, 10.0, 20.0]]).expand(2, 3), torch.zeros(2)))


def test_encoder_sends_as_many_components_as_the_level_says(model, features, levels):
    mask = sent_mask(levels.flatten(1), VALUES)
    snr_db = torch.full((2,), 40.0)
    power = model.allocation.power(levels, mask, snr_db)
    out = model.encoder(features, levels, model.allocation, power, Aim(snr_db, ENDS))
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
    assert Sent(components, mask, torch.zeros(2, 1, 1)).mean_power.tolist() == [4.0, 5.0]


def softcast(config, features, levels, tokens=False):
    """f_e and f_d at their start, with power allocated for these features."""
    encoder, decoder, allocation = JsccEncoder(config), JsccDecoder(config), PowerAllocation(config)
    deviations = torch.linspace(3, 0.2, 12)
    for coder in (encoder, decoder):
        coder.start(deviations)
        if not tokens:
            nn.init.zeros_(coder.tokens.weight)
    allocation.fit(list(features * deviations), list(levels))
    return encoder, decoder, allocation


@pytest.mark.parametrize("level", [None, 3])
def test_softcast_start_returns_what_is_sent(config, features, levels, level):
    """Without noise f_d undoes f_e: all channels at full rate, the first v_q of each vector otherwise."""
    levels = levels if level is None else torch.full_like(levels, level)
    mask, snr_db = sent_mask(levels.flatten(1), VALUES), torch.full((2,), 80.0)
    encoder, decoder, allocation = softcast(config, features, levels)
    power = allocation.power(levels, mask, snr_db)
    sent = encoder(features, levels, allocation, power, Aim(snr_db, ENDS, adapt=False))
    back = decoder(
        sent * mmse(torch.tensor(1e-9), mask, power),
        levels,
        allocation,
        snr_db[:, None],
        Aim(snr_db, ENDS, adapt=False),
    )
    kept = torch.arange(12) < VALUES[levels][..., None]
    torch.testing.assert_close(back, features * kept, atol=2e-3, rtol=2e-3)


def test_rate_tokens_are_all_that_is_added(config, features, levels):
    levels = torch.full_like(levels, 3)
    mask, snr_db = sent_mask(levels.flatten(1), VALUES), torch.full((2,), 80.0)
    encoder, decoder, allocation = softcast(config, features, levels, tokens=True)
    power = allocation.power(levels, mask, snr_db)
    sent = encoder(features, levels, allocation, power, Aim(snr_db, ENDS, adapt=False))
    back = decoder(
        sent * mmse(torch.tensor(1e-9), mask, power),
        levels,
        allocation,
        snr_db[:, None],
        Aim(snr_db, ENDS, adapt=False),
    )
    expected = features + encoder.tokens(levels) + decoder.tokens(levels)
    torch.testing.assert_close(back, expected, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 40.0])
def test_allocated_power_is_one_per_component(config, features, levels, snr_db):
    """The water level is found, whatever drops below it."""
    allocation = softcast(config, features, levels)[2]
    mask = sent_mask(levels.flatten(1), VALUES)
    allotted = allocation.power(levels, mask, torch.full((2,), snr_db))
    power = (allotted.gain.square() * allotted.variance * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))
    torch.testing.assert_close(power, torch.ones(2), atol=1e-3, rtol=0)
    assert (allotted.gain[~mask] == 0).all()
    assert (allotted.gain >= 0).all()


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_softcast_start_is_the_linear_mmse_receiver(config, snr_db):
    """The error of each channel is that of scalar MMSE estimation, 1 / (1 + received power / noise)."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 60, 60, 12, generator=generator)
    levels, label = torch.full((1, 60, 60), 3), torch.tensor([snr_db])
    mask = sent_mask(levels.flatten(1), VALUES)
    encoder, decoder, allocation = softcast(config, features, levels)
    aim = Aim(label, ENDS[:1], adapt=False)
    with torch.no_grad():
        allotted = allocation.power(levels, mask, label)
        sent = encoder(features, levels, allocation, allotted, aim)
        noise = Sent(sent, mask, levels).mean_power * 10 ** (-label / 10)
        assert float(Sent(sent, mask, levels).mean_power) == pytest.approx(1, rel=0.05)
        received = sent + noise.sqrt() * torch.randn(sent.shape, generator=generator)
        back = decoder(received * mmse(noise[:, None, None], mask, allotted), levels, allocation, label[:, None], aim)
        power = (allotted.gain.square() * allotted.variance)[0]
    error = (back - features).square().mean(dim=(0, 1, 2))
    torch.testing.assert_close(error, (1 / (1 + power / noise)).mean(dim=0), rtol=0.1, atol=0)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_expected_error_is_that_of_the_linear_receiver(config, snr_db):
    """Smooth grids, of which the common columns lose less than their mean SNR tells; some vectors send less."""
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn(1, 12, 60, 60, generator=generator)
    features = (fine + 4 * torch.nn.functional.avg_pool2d(fine, 9, 1, 4)).permute(0, 2, 3, 1)
    levels, label = torch.full((1, 60, 60), 3), torch.tensor([snr_db])
    levels[:, :30] = 1
    mask = sent_mask(levels.flatten(1), VALUES)
    encoder, decoder, allocation = softcast(config, features, levels)
    aim = Aim(label, ENDS[:1], adapt=False)
    with torch.no_grad():
        power = allocation.power(levels, mask, label)
        sent = encoder(features, levels, allocation, power, aim)
        noise = (Sent(sent, mask, levels).mean_power * 10 ** (-label / 10))[:, None, None].expand(mask.shape)
        received = sent + mask * noise.sqrt() * torch.randn(sent.shape, generator=generator)
        weight = mmse(noise, mask, power)
        back = decoder(received * weight, levels, allocation, label[:, None], aim)
        told = expected_error(weight, allocation.common, power).unflatten(1, (60, 60))
    for rows in (slice(0, 30), slice(30, 60)):
        error = (back - features)[:, rows].square().mean(dim=(0, 1, 2))
        share = error / features[:, rows].square().mean(dim=(0, 1, 2))
        torch.testing.assert_close(told[:, rows].mean(dim=(0, 1, 2)), share, rtol=0.15, atol=0.01)
    assert (told[:, :30, :, int(VALUES[1]) :] == 1).all()


def test_expected_error_spans_all_and_nothing(config, features, levels):
    mask, snr_db = sent_mask(levels.flatten(1), VALUES), torch.full((2,), 10.0)
    allocation = softcast(config, features, levels)[2]
    power = allocation.power(levels, mask, snr_db)
    for noise, expected in ((0.0, 0.0), (1e12, 1.0)):
        told = expected_error(mmse(torch.full(mask.shape, noise), mask, power), allocation.common, power)
        torch.testing.assert_close(told[mask], torch.full_like(told[mask], expected), atol=1e-3, rtol=0)


def test_batch_of_two_equals_two_batches_of_one(model, features, levels):
    snr_db, mask, noise = torch.tensor([3.0, 12.0]), sent_mask(levels.flatten(1), VALUES), torch.full((2, 1, 1), 0.1)
    for half in (model.encoder, model.decoder):
        nn.init.normal_(half.fidelity_token)
    allocation = model.allocation
    power, aim = allocation.power(levels, mask, snr_db), Aim(snr_db, ENDS)
    with torch.no_grad():
        sent = model.encoder(features, levels, allocation, power, aim)
        back = model.decoder(sent * mmse(noise, mask, power), levels, allocation, snr_db[:, None], aim)
        for i in range(2):
            one = slice(i, i + 1)
            own = allocation.power(levels[one], mask[one], snr_db[one])
            alone = model.encoder(features[one], levels[one], allocation, own, aim[one])
            torch.testing.assert_close(sent[one], alone, atol=1e-4, rtol=1e-4)
            heard = alone * mmse(noise[one], mask[one], own)
            again = model.decoder(heard, levels[one], allocation, snr_db[one][:, None], aim[one])
            torch.testing.assert_close(back[one], again, atol=1e-4, rtol=1e-4)
