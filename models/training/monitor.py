"""What a person sees of a training run: console lines, TensorBoard, and the alarm for a grey one."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from simulator.errors import UserError


class Console:
    """Prints one line per report and writes the same figures to TensorBoard under `run_dir/tensorboard`."""

    def __init__(self, run_dir: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run_dir / "tensorboard"), purge_step=first_step, flush_secs=30)

    def step(self, step: int, progress: float, figures: Mapping[str, float]) -> None:
        """Report a training step."""
        print(f"{progress:4.0%} step {step:6d}  {_line(figures)}", flush=True)
        self._scalars("train", step, figures)

    def validation(self, step: int, figures: Mapping[str, float], best: bool) -> None:
        """Report a validation."""
        print(f"     step {step:6d}  validation  {_line(figures)}{'  best' if best else ''}", flush=True)
        self._scalars("validation", step, figures)
        self._writer.flush()

    def picture(self, step: int, picture: torch.Tensor) -> None:
        """Log a picture [3, H, W] in [0, 1]."""
        self._writer.add_image("validation/pictures", picture.detach().cpu().float().clamp(0, 1), step)

    def _scalars(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)


def _line(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


class CollapseDetector:
    """Stops a run whose output is no better than one flat colour per image."""

    def __init__(self, images: torch.Tensor, patience: int) -> None:
        """Args:
        images: validation images, float [N, 3, H, W] in [0, 1].
        patience: how many validations in a row may be that bad.
        """
        variance = images.var(dim=(2, 3), correction=0).mean(1).clamp(min=1e-8)
        self.constant_psnr_db = float((-10 * variance.log10()).mean())
        self._patience, self._bad = patience, 0

    def check(self, psnr_db: float) -> None:
        """Take note of a validation.

        Raises:
            UserError: the last `patience` ones were all at or below the constant images' PSNR.
        """
        self._bad = 0 if psnr_db > self.constant_psnr_db else self._bad + 1
        if self._bad >= self._patience:
            raise UserError(
                f"training collapsed: {self._bad} validations in a row at {psnr_db:.1f} dB, no better than flat images "
                f"({self.constant_psnr_db:.1f} dB); lower the rate weight or the learning rate and start again"
            )


def mosaic(rows: Iterable[torch.Tensor]) -> torch.Tensor:
    """Rows of pictures [N, 3, H, W] under each other, as one picture [3, rows H, N W]."""
    return torch.cat([torch.cat(list(row), 2) for row in rows], 1)


def count_flops(work: Callable[[], object]) -> int:
    """Floating-point operations (a multiply-add is two) of convolutions, matrix products and attention in `work`."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
