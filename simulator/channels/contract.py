"""Checks of a channel's contract, so that an error in a channel does not look like a scheme's failure."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from simulator.channels.base import Channel, Realisation, Received
from simulator.errors import UserError, in_one_line, is_the_machines
from simulator.spec.plugins import plugin_module


@dataclass(frozen=True)
class ChannelCapabilities:
    """The optional methods and attributes of a channel, by name. Those that it lacks have the defaults here.

    Attributes:
        survey: `(num_symbols: int, count: int, key: int) -> tuple[Tensor, int]` gives link adaptation what it would
            find in `count` realisations, faster than drawing them: |h|^2 as float32 [count, S, n], n samples which the
            symbols of a stretch meet in any order, for each of S stretches that cover `num_symbols` uses; and the
            symbols per stretch.
        survey_snr: `(num_symbols: int, count: int, snr_db: float, key: int) -> tuple[Tensor, int]` is the same for a
            channel whose signal-to-noise ratios are not |h|^2 / no with one |h|^2 at all SNRs; it returns those ratios.
        survey_still: `(count: int, snr_db: float, key: int) -> Tensor` is the same for a channel that stands still
            during a transmission: ratios of its n streams of symbols in `count` realisations, float64 [count, n], with
            the errors of the receiver's estimate, if it makes one.
        fingerprint: all that changes results besides the name and the file of the class, such as a table that it reads.
        announce: from the SNR in dB, the channel's name and average SNR as both ends believe them to be, where that is
            not the truth. Link adaptation then goes by that channel's statistics, and the draws are those of that name.
        draws_as: name whose draws the channel uses, where it is not the announced one.
        distortion: what transmitter and receiver make of |h|^2 / no on average, an array [..., n] of samples of a slot.
        analog: of the ratios |h|^2 / no, float64 [..., K], that channel uses have, those that the symbols of an analog
            transmission have, where they differ.
        most_points: of the largest constellation that the transmitter can send; 0 for no limit.
        streams: symbols per channel use.
    """

    survey: Callable[[int, int, int], tuple[torch.Tensor, int]] | None = None
    survey_snr: Callable[[int, int, float, int], tuple[torch.Tensor, int]] | None = None
    survey_still: Callable[[int, float, int], torch.Tensor] | None = None
    fingerprint: Callable[[], str] | None = None
    announce: Callable[[float], tuple[str, float]] | None = None
    draws_as: str | None = None
    distortion: Callable[[Any], Any] = lambda snr: snr
    analog: Callable[[Any], Any] = lambda snr: snr
    most_points: int = 0
    streams: int = 1


def capabilities(channel: Channel) -> ChannelCapabilities:
    """What a channel can do beyond its contract."""
    found = {one.name: getattr(channel, one.name, None) for one in fields(ChannelCapabilities)}
    return ChannelCapabilities(**{name: one for name, one in found.items() if one is not None})


def channel_identity(channel: Channel) -> str:
    """The identity of a channel in rows: its name, its fingerprint if it has one, and the hash of a user's code.

    That code is the file of its class and the file that its entry point names. The program's own channels are
    identified by name and options alone.
    """
    parts = [channel.name]
    fingerprint = capabilities(channel).fingerprint
    if fingerprint is not None:
        parts.append(fingerprint())
    modules = {type(channel).__module__, plugin_module("simulator.channels", channel.name)}
    for module in sorted(one for one in modules if one and one.partition(".")[0] != "simulator"):
        source = getattr(sys.modules.get(module), "__file__", None)
        parts.append(module if source is None else hashlib.sha256(Path(source).read_bytes()).hexdigest())
    return " ".join(parts)


def draw(channel: Channel, num_symbols: int, snr_db: float, key: int) -> Realisation:
    """`channel.realise`.

    Raises:
        UserError: it raised, or did not return a realisation of `num_symbols` uses with a positive noise variance.
    """
    realisation = _ask(channel, "realise", num_symbols, snr_db, key)
    if not isinstance(realisation, Realisation):
        raise _broken(channel, f"realise returned {type(realisation).__name__}, not a Realisation")
    _check(channel, "realise", num_symbols, gain=realisation.gain)
    variance = realisation.noise_variance
    if not isinstance(variance, (int, float)) or not 0 < variance < float("inf"):
        raise _broken(channel, f"realise returned a noise variance of {variance!r}; it must be above 0")
    return realisation


def cross(channel: Channel, symbols: torch.Tensor, realisation: Realisation) -> Received:
    """`channel.send`.

    Raises:
        UserError: it raised, or did not return a reception of these symbols.
    """
    received = _ask(channel, "send", symbols, realisation)
    if not isinstance(received, Received):
        raise _broken(channel, f"send returned {type(received).__name__}, not Received")
    _check(channel, "send", len(symbols), symbols=received.symbols, gain=received.gain)
    variance = received.noise_variance
    one_each = isinstance(variance, torch.Tensor) and variance.shape == (len(symbols),)
    if not one_each or variance.dtype != torch.float32 or not ((variance > 0) & variance.isfinite()).all():
        what = f"a tensor of one noise variance for each of {len(symbols)} symbols, all above 0 and float32"
        raise _broken(channel, f"send must return {what}")
    if type(received.overhead) is not int or received.overhead < 0:
        raise _broken(channel, f"send returned an overhead of {received.overhead!r}; it must be an int, 0 or more")
    # Neither NumPy nor safetensors takes a tensor that is conjugated only when it is read.
    return replace(received, symbols=received.symbols.resolve_conj(), gain=received.gain.resolve_conj())


def announce(channel: Channel, snr_db: float) -> tuple[str, float]:
    """Name and average SNR in dB as both ends believe them to be: those of the channel, unless it has an `announce`.

    Raises:
        UserError: that raised, or returned something else.
    """
    if capabilities(channel).announce is None:
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
    return UserError(in_one_line(f"channel '{channel.name}' broke: {what}; fix it and rerun the same command"))
