"""LRISC, equation by equation."""
