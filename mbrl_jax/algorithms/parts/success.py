"""Success of episodes, for tasks that define it (``types.Success``)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import ArgumentError, between, positive, prefixed
from mbrl_jax.types import Array, Metrics, Success


@prefixed("success")
def init_counts(success: Success | None, envs: int) -> Array | None:
  """Returns the counts of solved steps at the start of an episode.

  Args:
    success: of the task.
    envs: ``N``.

  Returns:
    ``[N, W]`` int32. With ``last=W``: whether each of the last W steps was solved, oldest
    first; otherwise ``[N, 1]``, the solved steps of the episode. ``None`` without success.

  Raises:
    ValueError: ``steps`` is not positive or exceeds ``last``, or ``last`` is negative.
  """
  if success is None:
    return None
  positive(steps=success.steps)
  between(0, float("inf"), last=success.last)
  if success.last and success.steps > success.last:
    raise ArgumentError("steps", success.steps, "must not exceed {}.", ("last", success.last))
  return jnp.zeros((envs, success.last or 1), jnp.int32)


def count_solved(
  success: Success | None, counts: Array | None, obs: Array, done: Array
) -> tuple[Array | None, Metrics]:
  """Counts a step of each environment.

  Args:
    success: of the task.
    counts: ``[N, W]`` before the step, see ``init_counts``.
    obs: ``[N, O]`` after the step.
    done: ``[N]``, the episode ends with the step.

  Returns:
    The counts, those of a new episode where ``done``, and ``success [N]`` bool: whether an
    episode that ends here is one. ``(None, {})`` without success.

  Example:
    >>> at_one = Success(lambda obs: obs[0] == 1.0, last=2)
    >>> counts, end = jnp.array([[1, 0], [0, 1]]), jnp.zeros(2, bool)
    >>> counts, metrics = count_solved(at_one, counts, jnp.zeros((2, 1)), end)
    >>> metrics["success"].tolist()  # the first was solved three steps ago
    [False, True]
  """
  if success is None or counts is None:
    return None, {}
  solved = jax.vmap(success.solved)(obs).astype(jnp.int32)[:, None]
  counts = jnp.append(counts[:, 1:], solved, axis=1) if success.last else counts + solved
  reached = jnp.sum(counts, axis=1) >= success.steps
  return jnp.where(done[:, None], 0, counts), {"success": reached}


def episode_success(success: Success | None, obs: Array, taken: Array) -> Metrics:
  """Judges a whole episode.

  Args:
    success: of the task.
    obs: ``[T, O]`` after each step.
    taken: ``[T]`` bool, true up to the end of the episode.

  Returns:
    ``success [] bool``; ``{}`` without success.
  """
  if success is None:
    return {}
  solved = jax.vmap(success.solved)(obs) & taken
  if success.last:
    solved &= jnp.arange(len(taken)) >= jnp.sum(taken) - success.last
  return {"success": jnp.sum(solved) >= success.steps}
