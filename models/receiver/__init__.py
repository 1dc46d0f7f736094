"""A learned receiver behind a classical codec: a conditional diffusion decoder of what the codec decoded."""
