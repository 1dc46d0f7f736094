"""Randomness that depends only on what is simulated.

Every draw is made by a generator seeded with a key, and every key is the hash of the names of what is drawn:
image content, channel, SNR, realisation, seed. So all schemes see the same channel, and results do not depend
on batch size, order, worker count or resume.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager


def derive_key(*parts: object) -> int:
    """Hash named parts into a 63-bit seed.

    Floats enter with their shortest repr (1.0 and 1 differ), so callers pass one type per part.
    """
    digest = hashlib.sha256("\x1f".join(repr(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@contextmanager
def sionna_seeded(key: int) -> Iterator[None]:
    """Let Sionna's blocks draw from `key` inside the `with` block and restore every generator.

    Sionna blocks draw from one process-wide generator; importing sionna.phy and setting `config.seed` both
    reseed torch's global generator, which must not surprise the caller.
    """
    import torch  # here, because tables and figures need keys alone

    global_state = torch.get_rng_state()
    try:
        from sionna.phy import config

        generator = config.torch_rng("cpu")
        sionna_state = generator.get_state()
        generator.manual_seed(key)
        try:
            yield
        finally:
            generator.set_state(sionna_state)
    finally:
        torch.set_rng_state(global_state)
