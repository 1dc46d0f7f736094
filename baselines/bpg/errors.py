"""What can go wrong with a BPG file."""

from simulator.errors import UserError
from simulator.source import DamagedFile, DoesNotFit


class BpgError(UserError):
    """Any failure of the BPG codec that its input explains."""


class BpgFormatError(BpgError, DamagedFile):
    """The bytes are not a BPG file, or break its specification."""


class BpgUnsupported(BpgError, DamagedFile):
    """A valid BPG feature that this codec leaves out; the message names it."""


class BpgDoesNotFit(BpgError, DoesNotFit):
    """Even the coarsest quantiser (QP 51) needs more bytes than the budget allows."""
