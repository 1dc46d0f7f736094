"""DeepJSCC (Bourtsoulatze, Kurka and Gunduz 2019): the learned baseline, one net per bandwidth ratio."""

from simulator.baselines.deepjscc.scheme import DeepJscc

__all__ = ["DeepJscc"]
