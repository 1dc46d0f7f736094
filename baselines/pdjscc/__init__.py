"""Perceptual DeepJSCC (Wang et al. 2022): encoder, channel, generator and discriminator, learnt for eyes; one net."""

from simulator.baselines.pdjscc.scheme import Pdjscc

__all__ = ["Pdjscc"]
