"""An end-to-end simulator for learned wireless image transmission."""

__version__ = "0.1.0"
