"""Which network a golden run is of."""

from collections.abc import Mapping
from typing import Any

import torch

from tests.baselines.published.adjscc_runs import adjscc_points
from tests.baselines.published.ntscc_runs import ntscc_points
from tests.baselines.published.swin_runs import swin_config, swin_points


def run_by_name(name: str, run: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Repeat a run of a golden file, given the names of its model and of the run."""
    if "ADJSCC" in name or "PDJSCC" in name:
        return adjscc_points(name, run, dtype)
    if "JSCC_w" in name or "WITT" in name:
        return swin_points(swin_config(name), run, dtype)
    return ntscc_points("side_info" in name, run, dtype)
