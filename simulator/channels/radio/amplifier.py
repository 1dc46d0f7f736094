"""Memoryless distortions of complex baseband samples of unit mean power: clipping, power amplifiers, I/Q imbalance."""

import math

import torch

# A travelling-wave tube, Saleh, "Frequency-independent and frequency-dependent nonlinear models of TWT amplifiers",
# IEEE Trans. Commun. 29(11), 1981: amplitude a r / (1 + b r^2), phase c r^2 / (1 + d r^2).
_SALEH_AMPLITUDE, _SALEH_PHASE = (2.1587, 1.1517), (4.0033, 9.1040)


def clip(samples: torch.Tensor, ratio_db: float) -> torch.Tensor:
    """Limit |x|^2 to `ratio_db` above unit mean power and keep the phase; complex64 of any shape."""
    limit = 10 ** (ratio_db / 20)
    return samples * (limit / samples.abs().clamp(min=limit))


def rapp(samples: torch.Tensor, backoff_db: float) -> torch.Tensor:
    """A solid-state amplifier of unit small-signal gain: x / (1 + (|x| / A)^(2p))^(1 / 2p), p = 2.

    Rapp, "Effects of HPA-nonlinearity on a 4-DPSK/OFDM-signal for a digital sound broadcasting system", 1991. A is the
    saturated output amplitude, and p = 2 that of an amplifier without predistortion.

    Args:
        samples: complex64 of any shape, unit mean power.
        backoff_db: saturated output power over mean input power, 20 log10 A.
    """
    power = samples.real.square() + samples.imag.square()
    relative = power * 10 ** (-backoff_db / 10)
    return samples * (1 + relative.square()).sqrt().rsqrt()


def saleh(samples: torch.Tensor, backoff_db: float) -> torch.Tensor:
    """A travelling-wave tube amplifier, scaled to unit small-signal gain: it turns the phase as well.

    Args:
        samples: complex64 of any shape, unit mean power.
        backoff_db: saturated output power over mean input power after that scaling.
    """
    (a, b), (c, d) = _SALEH_AMPLITUDE, _SALEH_PHASE
    drive = saleh_saturation() * 10 ** (-backoff_db / 20) / a  # input of the tube for an input of 1 here
    power = (samples.real.square() + samples.imag.square()) * drive**2
    return torch.polar(1 / (1 + b * power), c * power / (1 + d * power)) * samples


def saleh_saturation() -> float:
    """Largest output amplitude of the tube: a / (2 sqrt(b)), reached at r = 1 / sqrt(b)."""
    a, b = _SALEH_AMPLITUDE
    return a / (2 * math.sqrt(b))


def iq_imbalance(samples: torch.Tensor, amplitude_db: float, phase_deg: float) -> torch.Tensor:
    """An I/Q modulator whose Q branch is off in amplitude and phase: mu x + nu conj(x) at unit power.

    mu = (1 + g e^(j phi)) / 2 and nu = (1 - g e^(j phi)) / 2 (Schenk, "RF Imperfections in High-rate Wireless Systems",
    2008, eq. 5.4), divided by sqrt(|mu|^2 + |nu|^2). The image rejection ratio is |mu / nu|^2.
    """
    mu, nu = imbalance_gains(amplitude_db, phase_deg)
    return mu * samples + nu * samples.conj()


def imbalance_gains(amplitude_db: float, phase_deg: float) -> tuple[complex, complex]:
    """mu and nu, |mu|^2 + |nu|^2 = 1."""
    error = 10 ** (amplitude_db / 20) * complex(math.cos(math.radians(phase_deg)), math.sin(math.radians(phase_deg)))
    mu, nu = (1 + error) / 2, (1 - error) / 2
    norm = math.sqrt(abs(mu) ** 2 + abs(nu) ** 2)
    return mu / norm, nu / norm
