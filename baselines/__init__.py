"""Schemes to compare the learned codec with: the classical chain, its bound, and DeepJSCC."""
