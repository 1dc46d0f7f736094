"""An end-to-end simulator for learned wireless image transmission."""

from simulator.surroundings import drop_lost_backend

drop_lost_backend()

__version__ = "0.1.0"
