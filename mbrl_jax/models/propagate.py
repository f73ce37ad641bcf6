"""How uncertainty of a learned model is carried through a plan (PETS, Chua et al. 2018).

======== =====================================================================
mode     one step of a particle
======== =====================================================================
TSinf    samples from the net that it was assigned to for the whole plan
TS1      the same, but particles are dealt to the nets anew at each step
DS       samples from the moment-matched mixture of all nets
MM       as DS; then all particles of a candidate are replaced by samples from
         the Gaussian with mean and population variance of their predictions
E        follows the mean of all nets
======== =====================================================================

Deterministic nets have no variance of their own: with TS each particle follows its net, with
DS and MM the spread of the nets is the variance. MM matches the moments of what the model
predicts, not of the next observations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.ops.gaussian import mixture_moments, positive_sqrt
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import ArgumentError, choice
from mbrl_jax.types import PARTICLES, Array, Key, Params

MODES = ("TSinf", "TS1", "DS", "MM", "E")
TRAJECTORY_SAMPLING = ("TSinf", "TS1")
_POOLED = ("E", "DS", "MM")
VALID = {"D": ("E",), "P": _POOLED, "GP": _POOLED, "DE": MODES, "PE": MODES}
"""Modes that each kind of model allows."""


def check_propagation(kind: str, propagation: str) -> None:
  """Checks that a kind of model allows a mode.

  Raises:
    ValueError: if the mode is unknown, or needs what the kind does not have.
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


def draws(ensemble: Ensemble, propagation: str) -> int:
  """Returns how many standard normals for each output a step needs: 0, 1 or 2."""
  if propagation == "MM":
    return 2
  if propagation == "DS":
    return 1
  return int(propagation in TRAJECTORY_SAMPLING and ensemble.probabilistic)


def make_sampler(ensemble: Ensemble, propagation: str) -> Callable[[Params, Array, Any], Array]:
  """Makes ``(params, x [I], noise) -> prediction [O]``.

  ``noise`` is a typed key or standard normals ``[draws, O]``. ``params`` are one
  member's for trajectory sampling and the whole ensemble's otherwise. ``MM`` must
  run inside a ``vmap`` with ``axis_name=types.PARTICLES``.
  """
  check_propagation(ensemble.kind, propagation)
  count = draws(ensemble, propagation)
  moments = pooled_moments
  if propagation in TRAJECTORY_SAMPLING:
    moments = _member_moments

  def sample(params, x, noise):
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


def is_key(noise: Array | Key) -> bool:
  """Tells typed keys from numbers."""
  return jnp.issubdtype(noise.dtype, jax.dtypes.prng_key)


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
