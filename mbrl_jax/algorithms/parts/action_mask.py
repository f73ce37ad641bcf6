"""Replacement of non-finite actions in training."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mbrl_jax.types import Array, EnvSpec


def mask_nonfinite(spec: EnvSpec, action: Array) -> tuple[Array, Array]:
  """Replaces a non-finite action by the middle of the bounds; also returns 1 if it did.

  Raises:
    ValueError: an action that is not ``[A]``.
  """
  middle = 0.5 * (np.float32(spec.action_low) + np.float32(spec.action_high))
  middle = np.nan_to_num(middle, posinf=0.0, neginf=0.0)  # for infinite bounds
  if jnp.shape(action) != middle.shape:
    raise ValueError(
      f"algorithm.act must return an action of shape {list(middle.shape)} for {spec.name!r}, "
      f"got {list(jnp.shape(action))}."
    )
  finite = jnp.isfinite(action).all()
  return jnp.where(finite, action, middle.astype(action.dtype)), jnp.int32(~finite)
