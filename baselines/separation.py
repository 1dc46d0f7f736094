"""The classical chains and their bounds: entry points of the group `simulator.schemes`."""

from simulator.baselines.bpg.source import BpgCodec
from simulator.separation import chain_and_bound
from simulator.separation.pair import Places
from simulator.spec.options import Choice

CHROMA = Choice(("444", "420"), "chroma sampling")

bpg_ldpc, bpg_capacity = chain_and_bound(
    "bpg", "BPG", lambda chosen: BpgCodec(chosen["chroma"]), {"chroma": CHROMA}, Places(chain=1, bound=4, opening=2)
)
