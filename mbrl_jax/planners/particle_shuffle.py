"""Random reassignment of particles to slices, for trajectory sampling TS1.

Source: Chua et al. 2018 (PETS), in the form of the released code.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Key


def draw_permutations(key: Key, candidates: int, particles: int) -> Array:
  """Draws a uniform permutation of the particles of each candidate, ``[N, P]``."""
  return jnp.argsort(jax.random.uniform(key, (candidates, particles), jnp.float32), axis=1)


def shuffle_particles(tree: Any, order: Array) -> Any:
  """Reassigns each plan's particles to slices.

  Every slice keeps exactly ``P / E`` particles (stratified, as in PETS' TS1), and
  plans are permuted independently of each other.

  Args:
    tree: leaves ``[E, N, P/E, ...]``.
    order: the permutations, ``[N, P]``.

  Returns:
    The tree with all leaves permuted in the same way over axes 0 and 2.
  """
  slices, candidates, per_slice = jax.tree.leaves(tree)[0].shape[:3]

  def permute(x: Array) -> Array:
    flat = jnp.swapaxes(x, 0, 1).reshape(candidates, slices * per_slice, *x.shape[3:])
    flat = jax.vmap(lambda particles, order: particles[order])(flat, order)
    return jnp.swapaxes(flat.reshape(candidates, slices, per_slice, *x.shape[3:]), 0, 1)

  return jax.tree.map(permute, tree)
