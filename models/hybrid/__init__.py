"""LRISC with a digital base layer: a BPG file and LRISC's latents share the channel, and one decoder sees both."""
