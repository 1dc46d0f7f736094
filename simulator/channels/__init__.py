"""Channels: thin, typed shells around Sionna's blocks, found by entry point (group `simulator.channels`)."""

from simulator.channels.base import (
    Channel,
    Realisation,
    Received,
    channel_identity,
    fade,
    load_channel,
    noise_variance,
)

__all__ = ["Channel", "Realisation", "Received", "channel_identity", "fade", "load_channel", "noise_variance"]
