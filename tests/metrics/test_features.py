"""Features of LPIPS' backbones are the mean activations of their last layer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d

from simulator.errors import UserError
from simulator.metrics.backbones import BACKBONES, load_backbone
from simulator.metrics.features import load_features

PATCHES = np.random.default_rng(2).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)


def test_alexnet_layer_by_layer(lpips_backbone_dir: Path) -> None:
    weights = load_backbone("alex")
    mean, std = (torch.tensor(one)[:, None, None] for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    values = (torch.from_numpy(PATCHES).permute(0, 3, 1, 2) / 255 - mean) / std
    for layer, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        kernel, bias = (weights[f"features.{layer}.{name}"] for name in ("weight", "bias"))
        values = conv2d(values, kernel, bias, stride, padding).relu()
        values = max_pool2d(values, 3, 2) if layer < 6 else values
    features = load_features("alex")
    # LPIPS' scaling differs from torchvision's in the third digit.
    np.testing.assert_allclose(features(PATCHES), values.mean(dim=(2, 3)).numpy(), rtol=0.05, atol=5e-3)
    assert (features.column, features.label) == ("kernel_distance_alex", "kernel distance (AlexNet)")
    np.testing.assert_array_equal(features(PATCHES), features(PATCHES))


def test_vgg_layer_by_layer(vgg_features: dict[str, torch.Tensor]) -> None:
    shift, scale = (torch.tensor(one)[:, None, None] for one in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    values = (torch.from_numpy(PATCHES[:2]).permute(0, 3, 1, 2) / 255 * 2 - 1 - shift) / scale  # as LPIPS scales
    for layer in BACKBONES["vgg"].layers:
        kernel, bias = (vgg_features[f"features.{layer}.{name}"] for name in ("weight", "bias"))
        values = conv2d(max_pool2d(values, 2) if layer in (5, 10, 17, 24) else values, kernel, bias, padding=1).relu()
    features = load_features("vgg")
    np.testing.assert_allclose(features(PATCHES[:2]), values.mean(dim=(2, 3)).numpy(), rtol=1e-3, atol=1e-4)
    assert (features.column, features(PATCHES[:2]).shape) == ("kernel_distance_vgg", (2, 512))


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_features("alex", device="cuda:99")
