"""Transmitter and receiver around any channel: constellation, waveform, amplifier, oscillator, converter."""
