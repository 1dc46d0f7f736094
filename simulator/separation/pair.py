"""The two schemes of a codec: the chain `CODEC-ldpc` and its bound `CODEC-capacity`, as entry points."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.separation.bound import CodecCapacity
from simulator.separation.chain import LINK_OPTIONS, DigitalChain
from simulator.source import SourceCodec
from simulator.spec.options import Declaration, Option, declares

Chain = Callable[..., DigitalChain]
Capacity = Callable[..., CodecCapacity]


def declare_pair(
    name: str,
    title: str,
    options: Mapping[str, Option] = {},
    form: str = "",
    chain_at: int | None = None,
    bound_at: int | None = None,
    opening: int | None = None,
) -> tuple[Declaration, Declaration]:
    """Declarations of `NAME-ldpc` and `NAME-capacity`: the one place that says which options a chain has.

    Canonical names spell the MCS first, then the codec's options, then the rest of the link's.

    Args:
        name: such as "jpeg".
        title: of the codec, for readers.
        options: of the codec.
        form: as `Declaration.form`, what follows both names.
        chain_at, bound_at: as `Declaration.standard`, of either.
        opening: as `Declaration.opening`, of the chain.
    """
    chain = Declaration(
        f"{name}-ldpc",
        f"{title}, NR LDPC code and QAM with the best MCS for the link, or a fixed one",
        {"mcs": LINK_OPTIONS["mcs"], **options, **LINK_OPTIONS},
        bare="mcs",
        form=form,
        standard=chain_at,
        opening=opening,
    )
    summary = f"{title} at Shannon's capacity of every realisation: a bound"
    return chain, Declaration(f"{name}-capacity", summary, options, form=form, standard=bound_at)


def chain_and_bound(
    says: tuple[Declaration, Declaration], codec: Callable[[Mapping[str, Any]], SourceCodec]
) -> tuple[Chain, Capacity]:
    """Factories for the entry points `NAME-ldpc` and `NAME-capacity`.

    Args:
        says: what `declare_pair` returns.
        codec: makes it from the values of the options.
    """
    chain_says, bound_says = says

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
