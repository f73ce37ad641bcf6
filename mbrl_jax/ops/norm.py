"""Euclidean norm with a finite gradient everywhere."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.types import Array


def norm(x: Array) -> Array:
  """Returns the Euclidean norm of ``x [..., n]``, ``[...]``.

  Its gradient at zero is 0, where that of ``jnp.linalg.norm`` is NaN: rewards that penalise
  a distance are differentiated at the goal, too.
  """
  square = jnp.sum(x**2, -1)
  zero = square == 0
  return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))
