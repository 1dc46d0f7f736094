"""What a codec object holds: its networks, and the weights that distinguish it from others of its class."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from simulator.codecs.symbol import SymbolCodec, weights_digest
from simulator.source import SourceCodec

BARE = frozenset(vars(Module()))  # what torch itself keeps in a module
MAX_DEPTH = 16


def own_parts(codec: SymbolCodec | SourceCodec) -> list[str]:
    """What distinguishes a codec from others of the same class: its weights, and its own fingerprint.

    Weights are modules, tensors and arrays on the object, and in lists, tuples and dictionaries on it; the same holds
    inside of modules. They are identified by content and place, because it matters which network is for which SNR.

    Raises:
        ValueError: they are nested deeper than `MAX_DEPTH`.
    """
    held = [codec] if isinstance(codec, Module) else [one for one in vars(codec).values() if isinstance(one, Module)]
    parts = [weights_digest(one) for one in held]
    walk = _Walk()
    for one in held:
        walk.told(one, "")
    lines = [line for one in held for line in walk.beside_state(one, "")]
    if not isinstance(codec, Module):
        rest = {name: one for name, one in vars(codec).items() if not isinstance(one, Module)}
        lines += walk.lines(rest, "", ())
    if lines:
        parts.append(hashlib.sha256("\n".join(lines).encode()).hexdigest())
    own = getattr(codec, "fingerprint", None)
    return [*parts, str(own())] if own else parts


def networks(one: Any, above: tuple[int, ...] = ()) -> Iterator[Module]:
    """The modules that an object is or keeps: on itself, in containers (`MAX_DEPTH` deep), on other modules and codecs.

    Args:
        one: the object.
        above: ids of the containers that it is in.
    """
    if len(above) > MAX_DEPTH or id(one) in above:
        return
    inside = (*above, id(one))
    if isinstance(one, Module):
        yield one
        for part in one.modules():
            yield from networks(_beside_torch(part), inside)
    elif _is_container(one):
        for _, entry in _entries(one):
            yield from networks(entry, inside)
    elif not above or isinstance(one, SourceCodec):
        yield from networks(getattr(one, "__dict__", {}), inside)


class _Walk:
    """Finds weights; the digest of a module covers its `state_dict`, whose tensors are not listed again."""

    def __init__(self) -> None:
        self._modules: dict[int, str] = {}  # place by id
        self._state: set[int] = set()

    def told(self, module: Module, place: str) -> None:
        """Note a module whose digest is listed."""
        for name, one in module.named_modules():
            self._modules.setdefault(id(one), f"{place}.{name}")
        self._state |= {id(one) for one in module.state_dict(keep_vars=True).values()}

    def lines(self, one: Any, place: str, above: tuple[int, ...]) -> Iterator[str]:
        """A line per weight: its place and its digest; `above` are the containers that it is in."""
        if isinstance(one, Module):
            if id(one) in self._modules:
                yield f"{place} is {self._modules[id(one)]}"
                return
            yield f"{place} {weights_digest(one)}"
            self.told(one, place)
            yield from self.beside_state(one, place)
        elif isinstance(one, torch.Tensor):
            if id(one) not in self._state:
                dense = one.detach().cpu() if one.layout == torch.strided else one.detach().cpu().to_dense()
                content = dense.resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8).numpy()
                yield f"{place} {_digest((one.dtype, tuple(one.shape)), content.tobytes())}"
        elif isinstance(one, np.ndarray) and not one.dtype.hasobject:
            yield f"{place} {_digest((one.dtype.descr, one.shape), one.tobytes())}"
        elif _is_container(one) and id(one) not in above:
            if len(above) >= MAX_DEPTH:
                raise ValueError(f"it holds containers nested deeper than {MAX_DEPTH}: {place[:60]}")
            for name, entry in _entries(one):
                yield from self.lines(entry, f"{place}[{name}]", (*above, id(one)))

    def beside_state(self, module: Module, place: str) -> Iterator[str]:
        """Lines for what modules hold outside of `state_dict`."""
        for name, one in module.named_modules():
            held = _beside_torch(one)
            held |= {key: one._buffers[key] for key in getattr(one, "_non_persistent_buffers_set", ())}
            yield from self.lines(held, f"{place}.{name}", ())


def _beside_torch(module: Module) -> dict[str, Any]:
    """Attributes of a module other than the parameters, buffers and modules that torch knows."""
    return {key: value for key, value in vars(module).items() if key not in BARE}


def _is_container(one: Any) -> bool:
    return isinstance(one, list | tuple | Mapping) or (isinstance(one, np.ndarray) and one.dtype.hasobject)


def _entries(container: Any) -> list[tuple[str, Any]]:
    """What is in a container, by name; dictionaries by sorted names, as their order may be that of a set."""
    if isinstance(container, Mapping):
        return sorted(((_name(key), value) for key, value in container.items()), key=lambda entry: entry[0])
    return [(str(index), one) for index, one in enumerate(container.flat if hasattr(container, "flat") else container)]


def _name(key: object) -> str:
    """How a key is written, without the address that objects show by default."""
    return type(key).__name__ if type(key).__repr__ is object.__repr__ else repr(key)


def _digest(kind: tuple[Any, ...], content: bytes) -> str:
    return hashlib.sha256(repr(kind).encode() + content).hexdigest()
