"""Where learned schemes compute, and in which arithmetic: float32, or bfloat16 where it is natively fast.

A scheme that has a choice has a method `compute_in("fp32" | "bf16")`. `auto` depends on the kind of machine alone; the
resolved value is part of the keys of rows and the provenance of results.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import torch

from simulator.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16")
# As /proc/cpuinfo names them. Elsewhere bfloat16 is emulated, slower than float32; other devices were not measured.
_NATIVE_BF16 = ("avx512_bf16", "amx_bf16")


def resolve_precision(precision: str, device: str) -> str:
    """Resolve `auto`: "bf16" on processors with native bfloat16, "fp32" on all other devices.

    Args:
        precision: one of `PRECISIONS`.
        device: as torch names it.

    Returns:
        "fp32" or "bf16".

    Raises:
        UserError: bf16 is requested on a GPU that lacks it.
    """
    if precision == "auto":
        return "bf16" if device == "cpu" and has_native_bf16() else "fp32"
    on_gpu_here = device.startswith("cuda") and torch.cuda.is_available()  # a cluster's GPUs may be elsewhere
    if precision == "bf16" and on_gpu_here and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(f"device '{device}' has no bfloat16; use --precision fp32")
    return precision


def has_native_bf16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name, False) for name in _NATIVE_BF16)


def training_precision(precision: str, device: str) -> str:
    """Resolve `auto` for training: "bf16" on GPUs and on processors with native bfloat16, "fp32" on all others.

    Args:
        precision: one of `PRECISIONS`.
        device: kind of device, as torch names it.
    """
    if precision != "auto":
        return precision
    return "bf16" if device == "cuda" or (device == "cpu" and has_native_bf16()) else "fp32"


def check_device(device: str) -> None:
    """Refuse a torch device that this machine lacks.

    Raises:
        UserError: the device does not exist.
    """
    if not isinstance(device, str) or not re.fullmatch(r"\w+(:[0-9]{1,3})?", device):
        raise UserError(f"device {device!r} is no device; write cpu, mps, cuda or cuda:1")
    kind, _, index = device.partition(":")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if int(index or 0) >= present.get(kind, 0):
        there = ", ".join(name for name, count in present.items() if count)
        raise UserError(f"device '{device}' does not exist; this machine has: {there}")


def keep_freed_memory() -> None:
    """Let glibc's malloc reuse large freed blocks in this process instead of returning them to the system.

    The system fills every block with zeros again, which took a fifth of the time of large feature maps. Other
    allocators are left as they are.
    """
    trim_threshold, mmap_threshold = -1, -3  # numbers of malloc.h
    with suppress(AttributeError, OSError):
        for option in (trim_threshold, mmap_threshold):
            ctypes.CDLL(None).mallopt(option, 2**31 - 1)


@contextmanager
def usual_torch() -> Iterator[None]:
    """Inside the block torch has the settings that it starts with, whatever a notebook's user chose; they return after.

    These are the default type and device of new tensors, the arithmetic of float32 matrix products, and no autocast.
    `@usual_torch()` puts the block around every call of a function.
    """
    with ExitStack() as stack:
        if (before := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, before)
            torch.set_default_dtype(torch.float32)
        if (products := torch.get_float32_matmul_precision()) != "highest":
            stack.callback(torch.set_float32_matmul_precision, products)
            torch.set_float32_matmul_precision("highest")
        if torch.get_default_device().type != "cpu":  # only then, because this slows every call of torch a little
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
