"""Separate source and channel coding: any `SourceCodec` behind the NR digital link, and its bound at capacity."""

from simulator.separation.bound import CodecCapacity
from simulator.separation.chain import LINK_OPTIONS, DigitalChain
from simulator.separation.pair import chain_and_bound, declare_pair

__all__ = ["LINK_OPTIONS", "CodecCapacity", "DigitalChain", "chain_and_bound", "declare_pair"]
