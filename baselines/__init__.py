"""Opponents of the learned codec: the classical chain, its bound, and DeepJSCC."""
