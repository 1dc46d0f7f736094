"""Loading a channel by name, with the transmitter and receiver of its specification."""

from simulator.channels.base import Channel
from simulator.channels.radio.channel import RadioChannel
from simulator.channels.radio.options import read_radio, split_options
from simulator.spec.plugins import load_plugin


def load_channel(spec: str) -> Channel:
    """Build the channel named `name[:option[:option...]]`.

    Options of transmitter and receiver (`simulator.channels.radio.options`) go with every channel.

    Raises:
        UserError: no such channel, or an option it does not know.
    """
    name, *options = spec.split(":")
    shared, own = split_options(options)
    channel = load_plugin("simulator.channels", "channel", ":".join((name, *own)))
    radio, suffix = read_radio(name, shared)
    if radio is None:
        return channel
    return RadioChannel(channel, radio, suffix)
