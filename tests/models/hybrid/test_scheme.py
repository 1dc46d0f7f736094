"""`lrisc-hybrid`: how base and latents share the symbols, and what is shown when either is lost."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import LinkState, Reception, load_scheme, transmit
from simulator.models.hybrid import shares
from simulator.models.hybrid.measured import shares as measured_shares
from simulator.models.hybrid.scheme import HybridScheme, part

CBR, AWGN = Fraction(1, 12), load_channel("awgn")
STATE = LinkState("awgn", 10.0)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return load_image_set("samples", crop=144)[0].pixels[None]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.mktemp("hybrid-cache")))
        yield


@pytest.fixture(scope="module")
def half() -> HybridScheme:
    return HybridScheme("share=0.5")


@pytest.fixture(scope="module")
def trip(half, image):
    return transmit(half, image, CBR, AWGN, 10.0)


@pytest.mark.parametrize(("share", "other"), [("0", "lrisc"), ("1", "bpg-ldpc:receiver=diffusion")])
def test_its_extremes_are_the_two_schemes(image, share, other) -> None:
    ours, theirs = (
        transmit(load_scheme(one), image, CBR, AWGN, 10.0) for one in (f"lrisc-hybrid:share={share}", other)
    )
    assert ours.transmission is not None
    assert theirs.transmission is not None
    assert torch.equal(ours.transmission.symbols[0], theirs.transmission.symbols[0])
    assert torch.equal(ours.decoded.images, theirs.decoded.images)
    assert ours.ledgers == theirs.ledgers


def test_both_parts_are_given_all_digits_of_gamma() -> None:
    scheme = HybridScheme("gamma=0.1234567")
    assert scheme._latents.gamma == scheme._codec._gamma == 0.1234567


def test_the_parts_fill_the_budget(trip) -> None:
    budget = int(CBR * 3 * 144**2)
    assert len(trip.transmission.symbols[0]) == trip.ledgers[0].total == budget
    assert trip.ledgers[0].side_information > 0  # LRISC's rate map
    assert float(trip.transmission.symbols[0].abs().square().mean()) <= 1 + 1e-6


def test_a_lost_base_leaves_the_picture_of_the_latents(half, trip, image) -> None:
    [received] = trip.reception.received
    uses = round(0.5 * len(received.symbols))
    noise = torch.randn(uses, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    damaged = replace(received, symbols=torch.cat([noise, received.symbols[uses:]]))
    shown = half.decode(replace(trip.reception, received=[damaged]))
    alone = HybridScheme("share=0").decode(Reception([part(received, slice(uses, None))], (144, 144), STATE))
    assert shown.outage == [False]
    assert torch.equal(shown.images, alone.images)


def test_lost_latents_leave_the_restored_base(half, trip) -> None:
    [received] = trip.reception.received
    uses = round(0.5 * len(received.symbols))
    noise = torch.randn(len(received.symbols) - uses, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    damaged = replace(received, symbols=torch.cat([received.symbols[:uses], noise]))
    shown = half.decode(replace(trip.reception, received=[damaged]))
    alone = HybridScheme("share=1").decode(Reception([part(received, slice(uses))], (144, 144), STATE))
    assert shown.outage == [False]
    assert torch.equal(shown.images, alone.images)


def test_both_parts_together_beat_each_alone(image) -> None:
    def error(scheme: str, cbr: Fraction) -> float:
        shown = transmit(load_scheme(scheme), image, cbr, AWGN, 10.0).decoded.images
        return float((shown - image).square().mean())

    together = error("lrisc-hybrid:share=0.5:gamma=0", CBR)
    assert together < error("bpg-ldpc:receiver=diffusion:gamma=0", CBR / 2)
    assert together < error("lrisc:gamma=0", CBR / 2)


def test_a_margin_keeps_both_parts_where_the_channel_is_worse_than_believed(image) -> None:
    worse = load_channel("awgn:assumed_db=12")
    shown = {}
    for scheme in ("lrisc-hybrid:share=0.5:margin=6", "lrisc-hybrid:share=1", "lrisc-hybrid:share=0:margin=6"):
        trips = [transmit(load_scheme(scheme), image, CBR, one, snr) for one, snr in ((worse, 6.0), (AWGN, 12.0))]
        shown[scheme] = [10 * float((one.decoded.images - image).square().mean().log10()) for one in trips]
        assert trips[0].decoded.outage == [scheme == "lrisc-hybrid:share=1"]
    at_6_db, at_12_db = shown["lrisc-hybrid:share=0.5:margin=6"]
    assert at_6_db - at_12_db < 3


@pytest.mark.parametrize("channel", ["awgn:constellation=16", "awgn:constellation=64", "tdl-c:csi=lmmse"])
def test_the_base_arrives_over_other_channels(half, image, channel) -> None:
    """Where a radio spreads all symbols because some are analog, the base must be coded for that."""
    got = transmit(half, image, CBR, load_channel(channel), 15.0)
    [received] = got.reception.received
    latents = part(received, slice(round(len(received.symbols) / 2), None))
    alone = HybridScheme("share=0").decode(Reception([latents], (144, 144), got.reception.state))
    errors = [float((one.images - image).square().mean()) for one in (got.decoded, alone)]
    assert errors[0] < 0.8 * errors[1]  # with a lost base they would be equal


@pytest.mark.parametrize(("height", "width"), [(37, 51), (16, 16)])
@pytest.mark.parametrize("options", ["", ":share=0.5", ":margin=3", ":gamma=0"])
def test_any_size_is_sent_and_read_from_the_reception_alone(image, height, width, options, tmp_path) -> None:
    scheme = load_scheme(f"lrisc-hybrid{options}")
    got = transmit(scheme, image[..., :height, :width], CBR, AWGN, 10.0)
    assert len(got.transmission.symbols[0]) == got.ledgers[0].total
    got.reception.save(tmp_path / "one.safetensors")
    again = scheme.decode(Reception.load(tmp_path / "one.safetensors"))
    assert torch.equal(again.images, got.decoded.images)


def test_a_budget_of_nothing_is_an_outage(image) -> None:
    got = transmit(HybridScheme(), image[..., :16, :16], Fraction(1, 1000), AWGN, 10.0)
    assert got.decoded.outage == [True]


def test_the_fingerprint_covers_the_table(monkeypatch) -> None:
    found = shares.table()
    before, fixed = HybridScheme().fingerprint(), HybridScheme("share=0.5").fingerprint()
    monkeypatch.setattr("simulator.models.hybrid.scheme.table", lambda: found | {"snr_db": [0, 5, 12, 15]})
    assert HybridScheme().fingerprint() != before
    assert HybridScheme("share=0.5").fingerprint() == fixed


def test_no_share_is_asked_for_that_the_latents_cannot_use() -> None:
    assert HybridScheme().supports(Fraction(1, 200)) is None
    reason = HybridScheme("share=0.95").supports(Fraction(1, 16))
    assert reason is not None
    assert "a share of 0.95 leaves the latents CBR 0.0031" in reason
    with pytest.raises(UserError, match="share=2 is not allowed"):
        HybridScheme("share=2")


def test_the_shipped_table_has_a_share_for_every_point() -> None:
    found = shares.table()
    for end in ("psnr", "perception"):
        assert [len(row) for row in found["share"][end]] == [len(found["snr_db"])] * len(found["cbr"])
    assert shares.best_share(1 / 16, 10.2, True) == found["share"]["psnr"][found["cbr"].index(0.0625)][2]


def _row(share: float, options: str, psnr: float, lpips: float, dists: float, channel: str = "awgn") -> dict[str, str]:
    numbers = {"psnr_db": psnr, "lpips": lpips, "dists": dists, "cbr_target": 0.0625, "snr_db": 10}
    return {"scheme": f"lrisc-hybrid:share={share:g}{options}", "channel": channel} | {
        k: str(v) for k, v in numbers.items()
    }


def test_the_table_takes_the_best_share_of_each_end() -> None:
    ends = [_row(0, ":gamma=0", 30, 0.2, 0.2), _row(0.5, ":gamma=0", 32, 0.3, 0.3), _row(1, ":gamma=0", 31, 0.1, 0.1)]
    lively = [_row(0, "", 30, 0.1, 0.2), _row(0.5, "", 33, 0.11, 0.15), _row(1, "", 34, 0.2, 0.1)]
    fading = [_row(1, "", 40, 0.01, 0.01, "rayleigh")]
    found = measured_shares([*ends, *lively, *fading])
    assert found == {"cbr": [0.0625], "snr_db": [10.0], "share": {"psnr": [[0.5]], "perception": [[0.5]]}}
    other = [_row(1, ":margin=3", 50, 0.01, 0.01), _row(1, ":gamma=0.8", 50, 0.01, 0.01)]
    assert measured_shares([*ends, *lively, *other]) == found
    with pytest.raises(UserError, match=r"no share=0 of the perception end at CBR 0\.0625, 10 dB"):
        measured_shares([*ends, *lively[1:]])
    with pytest.raises(UserError, match="--metric dists"):
        measured_shares([*ends, *({key: one[key] for key in one if key != "dists"} for one in lively)])
