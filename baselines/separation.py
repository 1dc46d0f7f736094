"""The classical chains and their bounds: entry points of the group `simulator.schemes`."""

from simulator.baselines.bpg.source import BpgCodec
from simulator.baselines.pillow import Avif, Jpeg, Jpeg2000, WebP
from simulator.models.receiver.codec import RECEIVER_OPTIONS, behind
from simulator.separation import chain_and_bound
from simulator.separation.pair import Places
from simulator.spec.options import Choice

CHROMA = Choice(("444", "420"), "chroma sampling")
BEST_CHROMA = Choice(("best", "444", "420"), "chroma sampling; best takes the one with the smaller error")

QP = Choice(("mixed", "whole"), "mixed takes the next finer QP on a part of the picture, which fills the budget")

bpg_ldpc, bpg_capacity = chain_and_bound(
    "bpg",
    "BPG",
    lambda chosen: behind(BpgCodec(chosen["chroma"], fill=chosen["qp"] == "mixed"), chosen),
    {"chroma": CHROMA, "qp": QP, **RECEIVER_OPTIONS},
    Places(chain=1, bound=4, opening=2),
)
jpeg_ldpc, jpeg_capacity = chain_and_bound(
    "jpeg", "JPEG", lambda chosen: Jpeg(chosen["chroma"]), {"chroma": BEST_CHROMA}
)
jpeg2000_ldpc, jpeg2000_capacity = chain_and_bound("jpeg2000", "JPEG 2000", lambda chosen: Jpeg2000(), {})
webp_ldpc, webp_capacity = chain_and_bound("webp", "WebP", lambda chosen: WebP(), {})
avif_ldpc, avif_capacity = chain_and_bound("avif", "AVIF", lambda chosen: Avif(chosen["chroma"]), {"chroma": CHROMA})
