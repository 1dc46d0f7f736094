"""The lattice test sees regular patterns of its periods, and nothing else."""

import pytest
import torch

from simulator.images import load_image_set
from simulator.metrics.lattice import LIMIT, PERIODS, SEGMENT, lattice_excess, lattice_levels


@pytest.fixture(scope="module")
def photographs() -> list[torch.Tensor]:
    return [image.pixels for image in load_image_set("samples")]


def pattern(period: int, size: torch.Size, amplitude: float) -> torch.Tensor:
    """A fixed tile of random numbers without a mean, repeated over the whole picture."""
    tile = torch.randn(period, period, generator=torch.Generator().manual_seed(period))
    tile -= tile.mean()
    rows, columns = (torch.arange(side) % period for side in size[-2:])
    return amplitude / 255 * tile[rows[:, None], columns]


def test_noise_and_flat_pictures_have_no_lines() -> None:
    noise = torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(1))
    assert max(lattice_levels(noise).values()) < 2.5
    assert lattice_levels(torch.full((3, 256, 256), 0.5)) == dict.fromkeys(PERIODS, pytest.approx(1.0))


def test_photographs_are_their_own_measure(photographs: list[torch.Tensor]) -> None:
    assert lattice_excess(photographs, photographs) == dict.fromkeys(PERIODS, pytest.approx(1.0))
    brighter = [image * 0.9 + 0.05 for image in photographs]
    assert max(lattice_excess(photographs, brighter).values()) < 1.1


@pytest.mark.parametrize("period", PERIODS)
def test_a_pattern_is_seen_at_its_period(photographs: list[torch.Tensor], period: int) -> None:
    woven = [image + pattern(period, image.shape, amplitude=3.0) for image in photographs]
    excess = lattice_excess(photographs, woven)
    assert excess[period] > 5 * LIMIT
    assert all(excess[longer] < LIMIT for longer in PERIODS if longer > period)


def test_other_periods_do_not_count(photographs: list[torch.Tensor]) -> None:
    woven = [image + pattern(7, image.shape, amplitude=3.0) for image in photographs]
    assert max(lattice_excess(photographs, woven).values()) < LIMIT


def test_the_level_does_not_depend_on_size_or_phase(photographs: list[torch.Tensor]) -> None:
    noise = torch.rand(3, 640, 640, generator=torch.Generator().manual_seed(2)) / 16
    woven = noise + pattern(4, noise.shape, amplitude=1.0)
    whole = lattice_levels(woven)[4]
    for view in (woven[:, :256, :320], woven[:, 3:643, 1:641], woven[:, 5 : 5 + SEGMENT * 3, 2 : 2 + SEGMENT * 2]):
        assert lattice_levels(view)[4] == pytest.approx(whole, rel=0.5)


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="127x200 is too small"):
        lattice_levels(torch.zeros(3, 200, 127))
