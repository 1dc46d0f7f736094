"""Your own codecs, without packaging: `torch:FILE.py:CLASS` and `keras:ENCODER.keras,DECODER.keras`."""

from simulator.codecs.symbol import CodecScheme, SymbolCodec

__all__ = ["CodecScheme", "SymbolCodec"]
