"""Channels: thin, typed shells around Sionna's blocks, found by entry point (group `simulator.channels`)."""

from simulator.channels.base import (
    Channel,
    Realisation,
    Received,
    channel_identity,
    fade,
    noise_variance,
)
from simulator.channels.load import load_channel

__all__ = ["Channel", "Realisation", "Received", "channel_identity", "fade", "load_channel", "noise_variance"]
