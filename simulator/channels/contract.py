"""A channel held to its contract: what breaks in it must not look like a scheme's failure."""

from math import isfinite
from typing import Any

import torch

from simulator.channels.base import Channel, Realisation, Received
from simulator.errors import UserError, in_one_line, is_the_machines


def draw(channel: Channel, num_symbols: int, snr_db: float, key: int) -> Realisation:
    """`channel.realise`.

    Raises:
        UserError: it raised, or returned what is no realisation of `num_symbols` uses.
    """
    realisation = _ask(channel, "realise", num_symbols, snr_db, key)
    if not isinstance(realisation, Realisation):
        raise _broken(channel, f"realise returned {type(realisation).__name__}, not a Realisation")
    _check(channel, "realise", num_symbols, gain=realisation.gain)
    variance = realisation.noise_variance
    if not isinstance(variance, (int, float)) or not 0 <= variance < float("inf"):
        raise _broken(channel, f"realise returned a noise variance of {variance!r}")
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
    one_each = isinstance(variance, torch.Tensor) and variance.shape == (len(symbols),)
    if not one_each or not ((variance >= 0) & variance.isfinite()).all():
        raise _broken(channel, f"send must return a tensor of one noise variance for each of {len(symbols)} symbols")
    if type(received.overhead) is not int or received.overhead < 0:
        raise _broken(channel, f"send returned an overhead of {received.overhead!r}; it must be an int, 0 or more")
    return received


def announce(channel: Channel, snr_db: float) -> tuple[str, float]:
    """Name and average SNR in dB as both ends believe them to be: those of the channel, unless it has an `announce`.

    Raises:
        UserError: that raised, or returned something else.
    """
    if not hasattr(channel, "announce"):
        return channel.name, float(snr_db)
    match _ask(channel, "announce", snr_db):
        case (str(name), int() | float() as believed_db) if isfinite(believed_db):
            return name, float(believed_db)
        case other:
            raise _broken(channel, f"announce returned {other!r}, not a channel's name and an SNR in dB")


def _ask(channel: Channel, method: str, *arguments: Any) -> Any:
    try:
        return getattr(channel, method)(*arguments)
    except UserError:
        raise
    except Exception as error:
        if is_the_machines(error):
            raise
        raise _broken(channel, f"{method} raised {type(error).__name__}: {error}") from error


def _check(channel: Channel, method: str, count: int, **tensors: Any) -> None:
    for name, tensor in tensors.items():
        sound = isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu"
        if not sound or tensor.dtype != torch.complex64 or tensor.shape != (count,):
            kind = f"{tensor.dtype} {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else repr(type(tensor))
            found = kind.removeprefix("torch.")
            raise _broken(channel, f"{method} must return {name} as complex64 ({count},) on the CPU, not {found}")
        if not tensor.isfinite().all():
            raise _broken(channel, f"{method} returned {name} that are not finite")


def _broken(channel: Channel, what: str) -> UserError:
    return UserError(in_one_line(f"channel '{channel.name}' broke: {what}; mend it and give the same command again"))
