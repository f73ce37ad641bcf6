"""Finds the first number of a training step that is not finite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.runtime.storage import pytree_io


def _learned(state: Any) -> dict[str, Any]:
  named = pytree_io.named({"carry": state.carry, "learn": state.learn})
  return {
    path: x for path, x in named.items() if jnp.issubdtype(jnp.result_type(x), jnp.floating)
  }


@jax.jit
def _has_nan(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
  return {path: jnp.any(jnp.isnan(x)) for path, x in arrays.items()}


def nan_leaves(state: Any) -> list[str]:
  """Returns the paths of the leaves of ``carry`` and ``learn`` that hold a NaN.

  Infinities are left alone: planners and early stopping use them as "nothing yet".
  """
  arrays = {k: x for k, x in _learned(state).items() if not pytree_io.is_key(x)}
  return [path for path, bad in jax.device_get(_has_nan(arrays)).items() if bad]


def first_nonfinite(metrics: dict[str, Any], update: dict[str, Any]) -> str | None:
  """Names the first non-finite array of a chunk, on the host.

  What is observed after a termination may be anything: nobody goes on from there.

  Args:
    metrics: the chunk as ``runtime.episodes.series`` gives it.
    update: metrics of the learning that took place, ``{}`` if none did.

  Returns:
    Such as ``"transition reward"`` or ``"update loss"``; ``None`` if all is well.
  """
  names = ("obs", "action", "reward", "next_obs")
  watched = {f"transition {k}": metrics[k] for k in names if k in metrics}
  if "transition next_obs" in watched and "terminated" in metrics:
    watched["transition next_obs"] = metrics["next_obs"][~metrics["terminated"]]
  watched |= {f"update {k}": v for k, v in update.items()}
  for name, values in watched.items():
    if not np.all(np.isfinite(values)):
      return name
  return None
