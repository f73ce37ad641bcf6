"""The transitions since the last update of an on-policy algorithm, by environment and time."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.gaussian_actor import GaussianActor
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.learners import Trajectories
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.types import Array, EnvSpec, Transition


class Batch(NamedTuple):
  """Transitions since the last update.

  Attributes:
    transition: leaves ``[N, T, ...]``.
    sampled: actions before clipping, in units of the bounds ``[N, T, A]``.
    time: steps since the episode began ``[N, T]`` int32.
    filled: columns written, ``[]`` int32; above ``T``: those beyond were dropped.
  """

  transition: Transition
  sampled: Array
  time: Array
  filled: Array

  @property
  def valid(self) -> Array:
    """The steps written, ``[N, T]`` bool."""
    columns = jnp.arange(self.time.shape[1], dtype=jnp.int32)
    return jnp.broadcast_to(columns < self.filled, self.time.shape)

  @property
  def dropped(self) -> Array:
    """Number of steps that were dropped, ``[]`` int32."""
    envs, columns = self.time.shape
    return envs * jnp.maximum(self.filled - columns, 0)


def empty_batch(spec: EnvSpec, envs: int, steps: int) -> Batch:
  """Returns an empty batch for ``steps`` steps of ``envs`` environments together."""
  shape = (envs, -(-steps // envs))
  blank = lambda x: jnp.zeros((*shape, *x.shape), x.dtype)
  return Batch(
    jax.tree.map(blank, blank_transition(spec)),
    jnp.zeros((*shape, spec.action_dim)),
    jnp.zeros(shape, jnp.int32),
    jnp.zeros((), jnp.int32),
  )


def add_column(batch: Batch, transitions: Transition, sampled: Array, time: Array) -> Batch:
  """Adds a step of every environment; drops it if the batch is full.

  Args:
    batch: the steps before it.
    transitions: leaves ``[N, ...]``.
    sampled: ``[N, A]``.
    time: ``[N]``.
  """
  write = lambda x, row: x.at[:, batch.filled].set(row, mode="drop")
  return Batch(
    jax.tree.map(write, batch.transition, transitions),
    write(batch.sampled, sampled),
    write(batch.time, time),
    batch.filled + 1,
  )


def trajectories(
  actor: GaussianActor, scaling: Normalizer, batch: Batch, return_scale: Array
) -> Trajectories:
  """Returns a batch as the learner takes it.

  Args:
    actor: the policy.
    scaling: with which the policy acted.
    batch: the transitions.
    return_scale: divisor of the rewards, ``[]``.
  """
  seen = jax.vmap(jax.vmap(lambda obs: actor.observe(scaling, obs)))
  transition = batch.transition
  return Trajectories(
    obs=seen(transition.obs),
    action=batch.sampled,
    reward=transition.reward / return_scale,
    next_obs=seen(transition.next_obs),
    terminated=transition.terminated,
    truncated=transition.truncated,
    valid=batch.valid,
    time=batch.time,
  )
