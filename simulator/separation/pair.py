"""The two schemes of a codec: the chain `CODEC-ldpc` and its bound `CODEC-capacity`, as entry points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.separation.bound import CodecCapacity
from simulator.separation.chain import LINK_OPTIONS, DigitalChain
from simulator.source import SourceCodec
from simulator.spec.options import Declaration, Option, declares

Chain = Callable[..., DigitalChain]
Capacity = Callable[..., CodecCapacity]


@dataclass(frozen=True)
class Places:
    """Places of a pair among the standard schemes and those that the playground opens with (`Declaration`)."""

    chain: int | None = None
    bound: int | None = None
    opening: int | None = None


def declare_pair(
    name: str, title: str, options: Mapping[str, Option] = {}, form: str = "", places: Places = Places()
) -> tuple[Declaration, Declaration]:
    """Declarations of `NAME-ldpc` and `NAME-capacity`: the one place that says which options a chain has.

    Canonical names spell the MCS first, then the codec's options, then the rest of the link's.

    Args:
        name: such as "jpeg".
        title: of the codec, for readers.
        options: of the codec.
        form: as `Declaration.form`, what follows both names.
        places: in lists of schemes.
    """
    chain = Declaration(
        f"{name}-ldpc",
        f"{title}, NR LDPC code and QAM with the best MCS for the link, or a fixed one",
        {"mcs": LINK_OPTIONS["mcs"], **options, **LINK_OPTIONS},
        bare="mcs",
        form=form,
        standard=places.chain,
        opening=places.opening,
    )
    summary = f"{title} at Shannon's capacity of every realisation: a bound"
    return chain, Declaration(f"{name}-capacity", summary, options, form=form, standard=places.bound)


def chain_and_bound(
    name: str,
    title: str,
    codec: Callable[[Mapping[str, Any]], SourceCodec],
    options: Mapping[str, Option],
    places: Places = Places(),
) -> tuple[Chain, Capacity]:
    """Factories for the entry points `NAME-ldpc` and `NAME-capacity`.

    Args:
        name, title, options, places: as for `declare_pair`.
        codec: makes it from the values of `options`.
    """
    chain_says, bound_says = declare_pair(name, title, options, places=places)

    @declares(chain_says)
    def chain(*given: str) -> DigitalChain:
        """The chain. Raises UserError for unknown options, or a fixed MCS together with adaptation=genie."""
        chosen = chain_says.read(given)
        return DigitalChain(codec(chosen), chain_says.spell(chosen), chosen)

    @declares(bound_says)
    def bound(*given: str) -> CodecCapacity:
        """The bound. Raises UserError for unknown options."""
        chosen = bound_says.read(given)
        return CodecCapacity(codec(chosen), bound_says.spell(chosen))

    return chain, bound
