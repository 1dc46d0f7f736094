"""Perceptual DeepJSCC (Wang et al. 2022): encoder, channel, generator and discriminator, trained for perception."""

from simulator.baselines.pdjscc.scheme import Pdjscc

__all__ = ["Pdjscc"]
