"""Finds the first array of a training step that is not finite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.key_stream import is_key
from mbrl_jax.runtime.storage import pytree_io
from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays
from mbrl_jax.types import TrainState


def _float_leaves(state: TrainState) -> dict[str, jax.Array]:
  named = pytree_io.named({"carry": state.carry, "learn": state.learn})
  return {
    path: x for path, x in named.items() if jnp.issubdtype(jnp.result_type(x), jnp.floating)
  }


@jax.jit
def _has_nan(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
  return {path: jnp.any(jnp.isnan(x)) for path, x in arrays.items()}


def nan_leaves(state: TrainState) -> list[str]:
  """Returns the paths of the leaves of ``carry`` and ``learn`` that hold a NaN.

  Infinities are allowed: planners and early stopping use them as "no value yet".
  """
  arrays = {k: x for k, x in _float_leaves(state).items() if not is_key(x)}
  return [path for path, bad in jax.device_get(_has_nan(arrays)).items() if bad]


def first_nonfinite(arrays: Arrays, update: Row) -> str | None:
  """Names the first non-finite array of a chunk, on the host.

  The observation after a termination may have any value: nothing continues from it.

  Args:
    arrays: the chunk as ``runtime.storage.episodes.series`` returns it.
    update: metrics of the update, ``{}`` if none ran.

  Returns:
    Such as ``"transition reward"`` or ``"update loss"``; ``None`` if all are finite.
  """
  names = ("obs", "action", "reward", "next_obs")
  watched: dict[str, np.ndarray | float] = {
    f"transition {k}": arrays[k] for k in names if k in arrays
  }
  if "transition next_obs" in watched and "terminated" in arrays:
    watched["transition next_obs"] = arrays["next_obs"][~arrays["terminated"]]
  watched |= {f"update {k}": v for k, v in update.items()}
  for name, values in watched.items():
    if not np.all(np.isfinite(values)):
      return name
  return None
