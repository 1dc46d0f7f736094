"""Checkpoints: whole or not at all, and the optimiser comes back as it was."""

import pytest
import torch
from torch import nn

from simulator.errors import UserError
from simulator.models.training.checkpoint import (
    load_checkpoint,
    load_record,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)


def test_round_trip_with_strided_and_shared_tensors(tmp_path):
    base = torch.arange(24.0).reshape(2, 3, 2, 2)
    tensors = {"model.a": base.to(memory_format=torch.channels_last), "model.b": base[0], "ema.a": base[:, :, 0].mT}
    save_checkpoint(tmp_path / "deep" / "x.safetensors", tensors, {"step": 3, "best": {"score": 1.5}})
    loaded = load_checkpoint(tmp_path / "deep" / "x.safetensors")
    assert loaded.record == load_record(tmp_path / "deep" / "x.safetensors") == {"step": 3, "best": {"score": 1.5}}
    assert all(torch.equal(loaded.tensors[name], tensors[name]) for name in tensors)
    assert sorted(loaded.part("model")) == ["a", "b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.safetensors"]


def test_failed_write_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, {"a": torch.zeros(1)}, {"step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(path, {"a": torch.zeros(1)}, {"step": object()})
    assert load_checkpoint(path).record["step"] == 1


@pytest.mark.parametrize("content", [b"", b"garbage" * 10])
def test_damaged_file_is_explained(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_record(tmp_path / "x.safetensors")


def test_optimizer_comes_back_in_its_memory_layout():
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net, torch.optim.AdamW(net.parameters(), lr=1e-2, fused=True)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(torch.ones(1, 4, 8, 8)).square().sum().backward()
        optimizer.step()

    net, optimizer = build()
    step(net, optimizer)
    twin, twin_optimizer = build()
    twin.load_state_dict(net.state_dict())
    restore_optimizer(
        twin_optimizer,
        {k: v.clone(memory_format=torch.contiguous_format) for k, v in optimizer_tensors(optimizer).items()},
    )
    for _ in range(2):
        step(net, optimizer)
        step(twin, twin_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    other = torch.optim.AdamW(nn.Conv2d(4, 4, 1).parameters(), fused=True)
    with pytest.raises(UserError, match="another model"):
        restore_optimizer(other, optimizer_tensors(optimizer))


def test_a_checkpoint_has_the_mode_of_any_file(tmp_path):
    (other := tmp_path / "other").touch()
    save_checkpoint(tmp_path / "checkpoint.safetensors", {"a": torch.ones(2)}, {})
    assert (tmp_path / "checkpoint.safetensors").stat().st_mode == other.stat().st_mode
