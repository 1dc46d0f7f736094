"""The classical chains and their bounds: entry points of the group `simulator.schemes`."""

from simulator.baselines.bpg.source import BpgCodec
from simulator.baselines.pillow import Avif, Jpeg, Jpeg2000, WebP
from simulator.models.receiver.codec import RECEIVER_OPTIONS, behind
from simulator.separation import chain_and_bound, declare_pair
from simulator.spec.options import Choice

CHROMA = Choice(("444", "420"), "chroma sampling")
BEST_CHROMA = Choice(("best", "444", "420"), "chroma sampling; best takes the one with the smaller error")

QP = Choice(("mixed", "whole"), "mixed takes the next finer QP on a part of the picture, which fills the budget")

bpg_ldpc, bpg_capacity = chain_and_bound(
    declare_pair("bpg", "BPG", {"chroma": CHROMA, "qp": QP, **RECEIVER_OPTIONS}, chain_at=1, bound_at=4, opening=2),
    lambda chosen: behind(BpgCodec(chosen["chroma"], fill=chosen["qp"] == "mixed"), chosen),
)
jpeg_ldpc, jpeg_capacity = chain_and_bound(
    declare_pair("jpeg", "JPEG", {"chroma": BEST_CHROMA}), lambda chosen: Jpeg(chosen["chroma"])
)
jpeg2000_ldpc, jpeg2000_capacity = chain_and_bound(declare_pair("jpeg2000", "JPEG 2000"), lambda chosen: Jpeg2000())
webp_ldpc, webp_capacity = chain_and_bound(declare_pair("webp", "WebP"), lambda chosen: WebP())
avif_ldpc, avif_capacity = chain_and_bound(
    declare_pair("avif", "AVIF", {"chroma": CHROMA}), lambda chosen: Avif(chosen["chroma"])
)
