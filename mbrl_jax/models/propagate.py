"""Propagates the uncertainty of a learned model through a plan (PETS, Chua et al. 2018).

======== =====================================================================
mode     one step of a particle
======== =====================================================================
TSinf    samples from the net assigned to it for the whole plan
TS1      the same, but particles are re-assigned to nets at each step
DS       samples from the moment-matched mixture of all nets
MM       as DS; then all particles of a candidate are replaced by samples from
         the Gaussian with mean and population variance of their predictions
E        follows the mean of all nets
======== =====================================================================

Deterministic nets predict no variance: with TS each particle follows its net, with DS and MM
the variance is that between the nets. MM matches the moments of the model's predictions, not
of the next observations.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.ops.gaussian import mixture_moments, positive_sqrt
from mbrl_jax.ops.key_stream import is_key
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import ArgumentError, choice
from mbrl_jax.types import PARTICLES, Array, KeyOrNoise, Params

MODES = ("TSinf", "TS1", "DS", "MM", "E")
TRAJECTORY_SAMPLING = ("TSinf", "TS1")
_POOLED = ("E", "DS", "MM")
VALID = {"D": ("E",), "P": _POOLED, "GP": _POOLED, "DE": MODES, "PE": MODES}
"""Modes supported by each kind of model."""


def check_propagation(kind: str, propagation: str) -> None:
  """Checks that a kind of model supports a mode.

  Raises:
    ValueError: if the mode is unknown, or the kind does not support it.
  """
  choice("propagation", propagation, MODES)
  if propagation in VALID[kind]:
    return
  if propagation in TRAJECTORY_SAMPLING:
    has = "is one model" if kind == "GP" else "has one net"
    why = f"needs an ensemble: kind {kind!r} {has}"
  else:
    why = f"needs a variance: kind {kind!r} predicts none"
  valid = ", ".join(VALID[kind])
  raise ArgumentError("propagation", propagation, f"{why}; valid for {kind!r}: {valid}.")


def normals_per_output(ensemble: Ensemble, propagation: str) -> int:
  """Returns the number of standard normals per output that a step needs: 0, 1 or 2."""
  if propagation == "MM":
    return 2
  if propagation == "DS":
    return 1
  return int(propagation in TRAJECTORY_SAMPLING and ensemble.probabilistic)


def make_sampler(
  ensemble: Ensemble, propagation: str
) -> Callable[[Params, Array, KeyOrNoise], Array]:
  """Makes ``(params, x [I], noise) -> prediction [O]``.

  ``noise`` is a typed key or standard normals ``[normals_per_output, O]``. ``params`` are one
  member's for trajectory sampling and the whole ensemble's otherwise. ``MM`` must run inside
  a ``vmap`` with ``axis_name=types.PARTICLES``.
  """
  check_propagation(ensemble.kind, propagation)
  count = normals_per_output(ensemble, propagation)
  moments = pooled_moments
  if propagation in TRAJECTORY_SAMPLING:
    moments = _member_moments

  def sample(params: Params, x: Array, noise: KeyOrNoise) -> Array:
    mean, std = moments(ensemble, params, x)
    if not count:
      return mean
    if is_key(noise):
      noise = normal(noise, (count, *mean.shape))
    y = mean + std * noise[0]
    if propagation == "MM":
      mean = jax.lax.pmean(y, PARTICLES)
      variance = jax.lax.pmean(jnp.square(y - mean), PARTICLES)
      y = mean + positive_sqrt(variance) * noise[1]
    return y

  return sample


def _member_moments(ensemble: Ensemble, params: Params, x: Array) -> tuple[Array, Array]:
  """Returns one member's mean and standard deviation."""
  mean, variance = ensemble.apply(params, x)
  return mean, positive_sqrt(variance)


def pooled_moments(ensemble: Ensemble, params: Params, x: Array) -> tuple[Array, Array]:
  """Returns mean and standard deviation ``[O]`` of the mixture of all members."""
  if ensemble.params_axes is None:
    return _member_moments(ensemble, params, x)
  means, variances = jax.vmap(ensemble.apply, (ensemble.params_axes, None))(params, x)
  mean, variance = mixture_moments(means, variances)
  return mean, positive_sqrt(variance)
