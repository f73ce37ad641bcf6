"""The length of a vector, with a slope everywhere."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.types import Array


def norm(x: Array) -> Array:
  """Returns the Euclidean length of ``x [..., n]``, ``[...]``.

  Its derivative at zero is 0, where that of ``jnp.linalg.norm`` is not a number: rewards
  that charge a distance are differentiated also at the goal.
  """
  square = jnp.sum(x**2, -1)
  zero = square == 0
  return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))
