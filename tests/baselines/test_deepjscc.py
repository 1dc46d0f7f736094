"""DeepJSCC: the net, what it puts on the air, and the scheme held to the link's contract."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.baselines.deepjscc import DeepJscc
from simulator.baselines.deepjscc.air import demodulate, modulate, reference_uses
from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig, block_statistics
from simulator.baselines.deepjscc.scheme import RATIOS
from simulator.baselines.deepjscc.training import Conditions, DeepJsccSystem, DeepJsccTrainee, derive, linear_start
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.link import Reception, channel_uses, transmit
from simulator.models.pretrained import release
from simulator.models.training.data import ImageStore
from simulator.models.training.entries import read_config
from simulator.models.training.monitor import count_flops

CONFIG = Path("experiments/train/deepjscc.yaml")
SMALL = {"encoder_width": 8, "encoder_blocks": 1, "decoder_width": 8, "decoder_blocks": 1, "detail_width": 8}


def smooth_images(count: int, height: int, width: int) -> torch.Tensor:
    """Low-pass noise [count, 3, H, W] in [0, 1]: something that a transform can compress."""
    coarse = torch.rand(count, 3, height // 8 + 2, width // 8 + 2, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def store_of(images: torch.Tensor) -> ImageStore:
    pixels = [np.ascontiguousarray((image * 255).byte().permute(1, 2, 0).numpy()) for image in images]
    return ImageStore(pixels, [f"{index:064x}" for index in range(len(pixels))])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Linear codecs in place of trained nets, released as training would."""
    folder = tmp_path_factory.mktemp("weights")
    for ratio in RATIOS:
        config = NetConfig(uses=int(768 * ratio), **SMALL)
        net = linear_start(config, store_of(smooth_images(8, 96, 96)))
        card = {"model": SMALL | {"uses": config.uses}}
        release(folder, f"deepjscc-1-{ratio.denominator}", net.state_dict(), card)
    return folder


@pytest.fixture
def scheme(weights) -> DeepJscc:
    return DeepJscc(f"weights={weights}")


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("size", [(64, 96), (67, 50), (16, 17)])
def test_link_contract(scheme, ratio, size):
    images = smooth_images(2, *size)
    trip = transmit(scheme, images, ratio, load_channel("awgn"), 10.0)
    assert trip.decoded.images.shape == images.shape
    assert trip.decoded.images.dtype == torch.float32
    assert trip.transmission is not None
    for symbols, ledger in zip(trip.transmission.symbols, trip.ledgers, strict=True):
        assert ledger.total == len(symbols) == channel_uses(ratio, size)
        assert float(symbols.abs().square().mean()) == pytest.approx(1, abs=1e-5)
        assert ledger.side_information == reference_uses(len(symbols))
        assert (ledger.padding == 0) == (size == (64, 96))


def test_batch_equals_single_images(scheme):
    images = smooth_images(2, 64, 80)
    both = transmit(scheme, images, Fraction(1, 16), load_channel("rayleigh-fast"), 5.0).decoded.images
    for index in range(2):
        one = transmit(scheme, images[index : index + 1], Fraction(1, 16), load_channel("rayleigh-fast"), 5.0)
        assert torch.equal(one.decoded.images[0], both[index])


def test_decodes_from_the_saved_reception_alone(scheme, weights, tmp_path):
    trip = transmit(scheme, smooth_images(1, 50, 70), Fraction(1, 24), load_channel("rayleigh"), 3.0)
    assert trip.reception is not None
    trip.reception.save(tmp_path / "reception.safetensors")
    again = DeepJscc(f"weights={weights}").decode(Reception.load(tmp_path / "reception.safetensors"))
    assert torch.equal(again.images, trip.decoded.images)


def test_quality_rises_with_snr_and_bandwidth(scheme):
    images = smooth_images(2, 96, 96)

    def psnr_db(ratio: Fraction, snr_db: float) -> float:
        decoded = transmit(scheme, images, ratio, load_channel("awgn"), snr_db).decoded.images
        return float(-10 * (decoded - images).square().mean().log10())

    assert psnr_db(Fraction(1, 16), 0) + 2 < psnr_db(Fraction(1, 16), 10) < psnr_db(Fraction(1, 16), 20) - 2
    assert psnr_db(Fraction(1, 48), 20) < psnr_db(Fraction(1, 12), 20)


def test_other_ratios_are_refused(scheme):
    assert scheme.supports(Fraction(1, 16)) is None
    assert "1/48" in scheme.supports(Fraction(1, 10))
    with pytest.raises(UserError, match="1/48, 1/24, 1/16, 1/12"):
        transmit(scheme, smooth_images(1, 64, 64), Fraction(1, 10), load_channel("awgn"), 10.0)


def test_a_folder_may_hold_the_net_of_one_ratio_alone(weights, tmp_path):
    for file in weights.glob("deepjscc-1-16.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    scheme = DeepJscc(f"weights={tmp_path}")
    assert scheme.supports(Fraction(1, 16)) is None
    assert "CBR 1/16 alone" in scheme.supports(Fraction(1, 24))
    transmit(scheme, smooth_images(1, 32, 32), Fraction(1, 16), load_channel("awgn"), 10.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uses": 400}, "'uses' of stage 1 must be channel uses per 16x16 block, 16 to 384, not 400"),
        ({"uses": []}, r"'uses' of stage 1 must be channel uses per 16x16 block, 16 to 384, not \[\]"),
        ({"uses": 16, "fading": True}, "'fading' of stage 1 must be a share of images from 0 to 1, not True"),
    ],
)
def test_conditions_out_of_range_are_explained(options, message):
    with pytest.raises(UserError, match=message):
        Conditions.read(options, 1)


def test_a_folder_may_be_in_the_home_folder(weights, monkeypatch):
    monkeypatch.setenv("HOME", str(weights.parent))
    scheme = DeepJscc(f"weights=~/{weights.name}")
    assert scheme.fingerprint() == DeepJscc(f"weights={weights}").fingerprint()


def test_bad_options_and_damaged_weights_are_explained(weights, tmp_path):
    with pytest.raises(UserError, match="weights=FOLDER"):
        DeepJscc("wide")
    with pytest.raises(UserError, match=r"deepjscc-1-48\.json"):
        DeepJscc(f"weights={tmp_path}")
    for file in weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    broken = tmp_path / "deepjscc-1-16.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="hash"):
        transmit(DeepJscc(f"weights={tmp_path}"), smooth_images(1, 32, 32), RATIOS[2], load_channel("awgn"), 10.0)


@settings(max_examples=40, deadline=None)
@given(
    uses=st.integers(1, 6),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    kept=st.floats(0.2, 1.0),
    contrast=st.floats(0.1, 5),
    seed=st.integers(0, 1000),
)
def test_demodulation_undoes_modulation(uses, height, width, kept, contrast, seed):
    generator = torch.Generator().manual_seed(seed)
    latents = contrast * torch.randn(2, 2 * uses, height, width, generator=generator)
    latents = latents.clamp(-7, 7)  # the receiver takes no transmit amplitude for less than 1/10
    num_uses = max(2, int(kept * uses * height * width))
    symbols = modulate(latents, num_uses)
    assert torch.allclose(symbols.abs().square().mean(1), torch.ones(2), atol=1e-5)
    gain = torch.polar(0.2 + torch.rand(2, num_uses, generator=generator), 6 * torch.rand(2, num_uses))
    seen = demodulate(gain * symbols, gain, torch.full((2, num_uses), 1e-9), (2 * uses, height, width))
    sent = seen.variance < 1
    num_payload = min(num_uses - reference_uses(num_uses), uses * height * width)
    assert int(sent.sum()) == 2 * 2 * num_payload
    assert torch.allclose(seen.noisy[sent], latents[sent], rtol=1e-3, atol=1e-3)
    assert (seen.noisy[~sent] == 0).all()


def test_reported_variance_is_that_of_the_noise():
    generator = torch.Generator().manual_seed(0)
    latents = 0.7 * torch.randn(1, 96, 32, 48, generator=generator) * 0.5**0.5
    symbols = modulate(latents, 48 * 32 * 48)
    noise_variance = torch.full(symbols.shape, 0.1)
    noise = torch.view_as_complex(torch.randn(*symbols.shape, 2, generator=generator)) * (0.1 / 2) ** 0.5
    seen = demodulate(symbols + noise, torch.ones_like(symbols), noise_variance, (96, 32, 48))
    sent = seen.variance < 1
    error = (seen.noisy - latents)[sent].square().mean()
    assert float(error) == pytest.approx(float(seen.variance[sent].mean()), rel=0.02)


def test_noise_of_an_imperfect_estimate_counts_symbol_by_symbol():
    """Where the receiver reports more noise, decoder and amplitude reference must hear of it."""
    latents = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    symbols, gain = modulate(latents, 1024), torch.ones(1, 1024, dtype=torch.complex64)
    plain, told = torch.full((1, 1024), 0.01), torch.full((1, 1024), 0.01)
    told[:, 600:] *= 4
    seen, known = (demodulate(symbols, gain, variance, (8, 16, 16)).variance.flatten() for variance in (plain, told))
    ratio = known / seen
    assert set(ratio.round().tolist()) == {1.0, 4.0}
    assert float((ratio.round() == 4).float().mean()) == pytest.approx(424 / 1024, abs=0.01)
    # A reference that is nothing but noise says nothing: the amplitude stays at its prior, 1.
    lost, payload = plain.clone(), 3 * symbols[:, reference_uses(1024) :]
    lost[:, : reference_uses(1024)] = 1e6
    energy = float(demodulate(3 * symbols, gain, lost, (8, 16, 16)).noisy.square().sum())
    assert energy == pytest.approx(float(payload.abs().square().sum()), rel=1e-3)


def test_linear_start_with_all_latents_is_lossless():
    images = smooth_images(4, 64, 64) + 0.05 * torch.rand(4, 3, 64, 64)
    net = DeepJsccNet(NetConfig(uses=384, **SMALL))
    mean, covariance = block_statistics(list(images))
    net.start_linear(mean, covariance + 1e-6 * torch.eye(768))
    snr_db = torch.full((4,), 10.0)
    with torch.no_grad():
        latents = net.encoder(images, snr_db)
        decoded = net.decoder(latents, torch.full_like(latents, 1e-12), snr_db)
    assert torch.allclose(decoded, images, atol=1e-3)


def test_gradient_reaches_every_parameter():
    trainee = DeepJsccTrainee(
        linear_start(NetConfig(uses=16, **SMALL), store_of(smooth_images(4, 64, 64))), Conditions((16,))
    )
    torch.manual_seed(0)
    with torch.no_grad():  # a zero head hides what is behind it from the gradient, at the first step only
        for parameter in trainee.model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    loss, _ = trainee.loss(smooth_images(2, 64, 64), 0.5, torch.Generator().manual_seed(0))
    loss.backward()
    for name, parameter in trainee.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_derived_net_is_the_larger_one_without_its_last_latents():
    large = linear_start(NetConfig(uses=64, **SMALL), store_of(smooth_images(4, 64, 64)))
    small = derive(NetConfig(uses=16, **SMALL), large.state_dict())
    images, snr_db = smooth_images(2, 64, 64), torch.tensor([5.0, 15.0])
    with torch.no_grad():
        assert torch.allclose(small.encoder(images, snr_db), large.encoder(images, snr_db)[:, :32], atol=1e-5)
        latents = torch.randn(2, 32, 4, 4)
        noisy, variance = torch.zeros(2, 128, 4, 4), torch.full((2, 128, 4, 4), 1e6)
        noisy[:, :32], variance[:, :32] = latents, 0.1
        decoded = small.decoder(latents, torch.full_like(latents, 0.1), snr_db)
        assert torch.allclose(decoded, large.decoder(noisy, variance, snr_db), atol=1e-4)


def test_released_configuration_is_small_enough():
    stages = DeepJsccSystem().stages(read_config(CONFIG))
    released = [stage for stage in stages if stage.release]
    assert [stage.release for stage in released] == [f"deepjscc-1-{n}" for n in (16, 24, 48, 12)]
    nets = [DeepJsccNet(NetConfig(**stage.card["model"])) for stage in released if stage.card]
    assert 2 * sum(p.numel() for net in nets for p in net.parameters()) <= 7e6
    snr_db = torch.zeros(1)

    def one_trip() -> None:
        latents = nets[-1].encoder(torch.rand(1, 3, 256, 256), snr_db)
        nets[-1].decoder(latents, torch.ones_like(latents), snr_db)

    assert count_flops(one_trip) <= 10e9


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("model.widht=3", "widht"),
        ("loop.bach=3", "bach"),
        ("stages.2.use=3", "use"),
        ("stages.2.uses=3", "uses"),
        ("stages.2.start=4", "earlier"),
        ("stages.2.release=../x", r"'release' of stage 2 must be a name for files of weights.*'\.\./x'"),
        ("stages.2.release=''", "'release' of stage 2 must be a name for files of weights.*not ''"),
        ("stages.2.release=3", "'release' of stage 2 must be a name for files of weights.*not 3"),
        ("system=lrisc", "not for deepjscc"),
        ("lop=1", "lop"),
    ],
)
def test_bad_configuration_is_named(override, match):
    with pytest.raises(UserError, match=match):
        DeepJsccSystem().stages(read_config(CONFIG, [override]))
