"""Noise for sampling plans: truncated normal, and coloured in time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.types import Array, Key


def truncated_normal(key: Key, shape: tuple[int, ...]) -> Array:
  """Draws standard normals truncated to two standard deviations, ``shape``."""
  return jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32)


def coloured_scale(horizon: int, exponent: Array) -> Array:
  """Returns amplitudes ``[F]`` whose spectrum falls as ``1 / f ** exponent``.

  ``F = horizon // 2 + 1``. The lowest frequency is cut at ``1 / horizon``. The
  amplitudes are scaled so that noise shaped by them has unit variance.
  """
  frequency = np.maximum(np.fft.rfftfreq(horizon), 1.0 / horizon)
  amplitude = jnp.asarray(frequency, jnp.float32) ** (-exponent / 2.0)
  # Bins 0 and (for an even horizon) F-1 are real and count once, others twice.
  weight = np.full(len(frequency), 2.0)
  weight[0] = 1.0
  if horizon % 2 == 0:
    weight[-1] = 1.0
  power = jnp.sum(jnp.asarray(weight, jnp.float32) * amplitude**2) / horizon
  return amplitude / jnp.sqrt(power)


def coloured_normal(key: Key, shape: tuple[int, int, int], exponent: Array) -> Array:
  """Draws normals ``[N, H, A]`` coloured along ``H``.

  Source: Timmer and Koenig 1995, "On generating power law noise"; used for
  planning by Pinneri et al. 2020 (iCEM).

  Args:
    key: typed key.
    shape: ``(N, H, A)``.
    exponent: spectral exponent, ``[]``; 0 white, 1 pink, 2 brown.

  Returns:
    Noise of zero mean and unit variance.
  """
  samples, horizon, actions = shape
  # Shaping white noise in the frequency domain draws exactly the Gaussian
  # process wanted, whatever the parity of the horizon.
  white = jax.random.normal(key, (samples, actions, horizon), jnp.float32)

  def colour(white: Array) -> Array:
    spectrum = jnp.fft.rfft(white) * coloured_scale(horizon, exponent)
    return jnp.fft.irfft(spectrum, n=horizon)

  noise = jax.lax.cond(exponent == 0, lambda white: white, colour, white)
  return jnp.swapaxes(noise, 1, 2)
