"""Channels: thin, typed shells around Sionna's blocks, found by entry point (group `simulator.channels`)."""

from simulator.channels.base import (
    Channel,
    Realisation,
    Received,
    fade,
    noise_variance,
)
from simulator.channels.contract import ChannelCapabilities, capabilities, channel_identity
from simulator.channels.load import load_channel

__all__ = [
    "Channel",
    "ChannelCapabilities",
    "Realisation",
    "Received",
    "capabilities",
    "channel_identity",
    "fade",
    "load_channel",
    "noise_variance",
]
