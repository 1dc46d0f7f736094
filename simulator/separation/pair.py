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


def chain_and_bound(
    name: str,
    title: str,
    codec: Callable[[Mapping[str, Any]], SourceCodec],
    options: Mapping[str, Option],
    places: Places = Places(),
) -> tuple[Chain, Capacity]:
    """Factories for the entry points `NAME-ldpc` and `NAME-capacity`.

    Args:
        name: such as "jpeg".
        title: of the codec, for readers.
        codec: makes it from the values of `options`.
        options: of the codec.
        places: in lists of schemes.
    """
    link = {"mcs": LINK_OPTIONS["mcs"], **options, **LINK_OPTIONS}

    chain_says = Declaration(
        f"{name}-ldpc",
        f"{title}, NR LDPC code and QAM with the best MCS for the link, or a fixed one",
        link,
        bare="mcs",
        standard=places.chain,
        opening=places.opening,
    )
    bound_says = Declaration(
        f"{name}-capacity",
        f"{title} at Shannon's capacity of every realisation: a bound",
        options,
        standard=places.bound,
    )

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
