"""A channel held to its contract: what breaks in it must not look like a scheme's failure."""

from typing import Any

import torch

from simulator.channels.base import Channel, Realisation, Received
from simulator.errors import UserError, in_one_line


def draw(channel: Channel, num_symbols: int, snr_db: float, key: int) -> Realisation:
    """`channel.realise`.

    Raises:
        UserError: it raised, or returned what is no realisation of `num_symbols` uses.
    """
    realisation = _ask(channel, "realise", num_symbols, snr_db, key)
    if not isinstance(realisation, Realisation):
        raise _broken(channel, f"realise returned {type(realisation).__name__}, not a Realisation")
    _check(channel, "realise", num_symbols, gain=realisation.gain)
    if not 0 <= realisation.noise_variance < float("inf"):
        raise _broken(channel, f"realise returned a noise variance of {realisation.noise_variance}")
    return realisation


def cross(channel: Channel, symbols: torch.Tensor, realisation: Realisation) -> Received:
    """`channel.send`.

    Raises:
        UserError: it raised, or returned what is no reception of these symbols.
    """
    received = _ask(channel, "send", symbols, realisation)
    if not isinstance(received, Received):
        raise _broken(channel, f"send returned {type(received).__name__}, not Received")
    _check(channel, "send", len(symbols), symbols=received.symbols, gain=received.gain)
    variance = received.noise_variance
    if variance.shape != (len(symbols),) or not ((variance >= 0) & variance.isfinite()).all():
        raise _broken(channel, f"send must return one finite noise variance for each of {len(symbols)} symbols")
    return received


def _ask(channel: Channel, method: str, *arguments: Any) -> Any:
    try:
        return getattr(channel, method)(*arguments)
    except (UserError, ImportError, OSError, MemoryError):
        raise
    except Exception as error:
        raise _broken(channel, f"{method} raised {type(error).__name__}: {error}") from error


def _check(channel: Channel, method: str, count: int, **tensors: torch.Tensor) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype != torch.complex64 or tensor.shape != (count,):
            found = f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")
            raise _broken(channel, f"{method} must return {name} as complex64 ({count},), not {found}")
        if not tensor.isfinite().all():
            raise _broken(channel, f"{method} returned {name} that are not finite")


def _broken(channel: Channel, what: str) -> UserError:
    return UserError(in_one_line(f"channel '{channel.name}' broke: {what}; mend it and give the same command again"))
