"""Targets of learned models for quantities that their inputs omit.

A model that does not get a velocity cannot predict its change, ``v' - v``: it could only learn
the mean of ``-v``, and over imagined steps its errors would add up. It can predict ``v'``.
"""

from __future__ import annotations

from collections.abc import Callable

from mbrl_jax.types import Array


def absolute_targets(
  unseen: slice,
) -> tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]:
  """Makes ``EnvSpec.target`` and ``EnvSpec.decode``.

  Args:
    unseen: entries of the observation that ``encode`` omits, and that do not merely add up.

  Returns:
    ``target(obs [O], next_obs [O]) -> [O]``: changes, and the next values of ``unseen``; and
    its inverse ``decode(obs [O], target [O]) -> next_obs [O]``.

  Example:
    >>> import jax.numpy as jnp
    >>> target, decode = absolute_targets(slice(1, 2))
    >>> before, after = jnp.array([1.0, 5.0]), jnp.array([1.5, 4.0])
    >>> target(before, after).tolist(), decode(before, target(before, after)).tolist()
    ([0.5, 4.0], [1.5, 4.0])
  """

  def target(obs: Array, next_obs: Array) -> Array:
    return (next_obs - obs).at[unseen].set(next_obs[unseen])

  def decode(obs: Array, target: Array) -> Array:
    return (obs + target).at[unseen].set(target[unseen])

  return target, decode
