"""Trajectories of a Gaussian policy in a learned model, whole episodes from given states.

Every member of the model rolls out all start states by itself. An episode ends by the model's
termination, by disagreement of the members (which counts as a termination and adds
``halt_reward``), or after ``horizon`` steps.

Sources: Rajeswaran et al. 2020, "A Game Theoretic Framework for Model Based Reinforcement
Learning"; Kidambi et al. 2020, "MOReL" (disagreement); the released code.

Deviations:
  * Actions are clipped to the bounds in the model as in the environment.
  * Short trajectories are not dropped, and a halt does not erase a termination.
  * A trajectory is cut before its first step that is not finite.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.difference_model import DifferenceModel
from mbrl_jax.algorithms.parts.difference_nets import ModelParams
from mbrl_jax.algorithms.parts.gaussian_actor import GaussianActor, PolicyParams
from mbrl_jax.learners.policy_gradient import Trajectories
from mbrl_jax.ops.noise import normal
from mbrl_jax.planners.rollout import slice_mapper
from mbrl_jax.types import Array, Key, Metrics


class Halt(NamedTuple):
  """When the members disagree too much to go on.

  Attributes:
    threshold: largest distance of two members' predictions, ``[]``.
    reward: added to the last reward, ``[]``.
  """

  threshold: Array
  reward: Array


class _Step(NamedTuple):
  """One step of all trajectories, leaves ``[E, N, ...]``; see ``Trajectories``."""

  obs: Array
  action: Array
  reward: Array
  next_obs: Array
  terminated: Array
  valid: Array


class _Loop(NamedTuple):
  """Carry of the rollout: step, observations as they are and as the policy sees them."""

  t: Array
  obs: Array
  seen: Array
  alive: Array
  stored: _Step


def imagine(
  actor: GaussianActor,
  model: DifferenceModel,
  params: ModelParams,
  policy: PolicyParams,
  starts: Array,
  horizon: int,
  key: Key,
  *,
  limit: Array | float,
  halt: Halt | None = None,
) -> Trajectories:
  """Rolls out the policy.

  Args:
    actor: the policy's functions.
    model: the learned model.
    params: of its members.
    policy: parameters of the policy.
    starts: ``[N, O]``.
    horizon: steps of an episode.
    key: typed key.
    limit: observations are clipped to its magnitude, ``[]``.
    halt: ends episodes by disagreement; ``None``: never.

  Returns:
    Trajectories ``[E N, horizon]`` over scaled encoded observations.
  """
  shape = (model.dynamics.slices, len(starts))
  over_members = slice_mapper(model.dynamics, params)
  rows_of = lambda member, obs, action: jax.vmap(model.dynamics.step, (None, 0, 0, None))(
    member, obs, action, jnp.zeros(0)
  )
  see = jax.vmap(jax.vmap(lambda obs: actor.observe(policy.scaling, obs)))
  execute = jax.vmap(jax.vmap(actor.execute))
  distance = jax.vmap(jax.vmap(lambda obs, action: disagreement(model, params, obs, action)))

  def step(t: Array, obs: Array, seen: Array, alive: Array) -> tuple[Array, _Step]:
    mean = actor.policy.mean(policy.policy, seen)
    noise = normal(jax.random.fold_in(key, t), mean.shape)
    sampled = mean + jnp.exp(policy.policy.log_std) * noise
    action = execute(sampled)
    next_obs, reward, terminated = over_members(rows_of, obs, action)
    finite = jnp.isfinite(next_obs).all(-1) & jnp.isfinite(reward)
    next_obs = jnp.clip(next_obs, -limit, limit)
    if halt is not None:
      halted = (distance(obs, action) > halt.threshold) & ~terminated
      reward = reward + jnp.where(halted, halt.reward, 0.0)
      terminated = terminated | halted
    return next_obs, _Step(seen, sampled, reward, see(next_obs), terminated, alive & finite)

  def body(loop: _Loop) -> _Loop:
    next_obs, now = step(loop.t, loop.obs, loop.seen, loop.alive)
    alive = now.valid & ~now.terminated
    keep = lambda new, old: jnp.where(alive[..., None], new, old)
    stored = jax.tree.map(lambda x, y: x.at[loop.t].set(y), loop.stored, now)
    obs, seen = keep(next_obs, loop.obs), keep(now.next_obs, loop.seen)
    return _Loop(loop.t + 1, obs, seen, alive, stored)

  obs = jnp.broadcast_to(starts, (*shape, starts.shape[-1]))
  seen, alive, zero = see(obs), jnp.ones(shape, bool), jnp.zeros((), jnp.int32)
  shapes = jax.eval_shape(lambda: step(zero, obs, seen, alive)[1])
  stored = jax.tree.map(lambda x: jnp.zeros((horizon, *x.shape), x.dtype), shapes)
  unfinished = lambda loop: (loop.t < horizon) & loop.alive.any()
  end = jax.lax.while_loop(unfinished, body, _Loop(zero, obs, seen, alive, stored))
  return _trajectories(end.stored)


def disagreement(
  model: DifferenceModel, params: ModelParams, obs: Array, action: Array
) -> Array:
  """Returns the largest distance between the predictions of two members, ``[]``."""
  predicted = model.predict(params, obs, action)
  apart = predicted[:, None] - predicted
  return jnp.sqrt(jnp.square(apart).sum(-1).max())


def episode_metrics(trajectories: Trajectories) -> Metrics:
  """Returns mean return and length of the trajectories, and the share that terminated."""
  valid = trajectories.valid
  ended = (valid & trajectories.terminated).any(1)
  return {
    "imagined_return": jnp.where(valid, trajectories.reward, 0.0).sum(1).mean(),
    "imagined_length": valid.sum(1).mean(),
    "imagined_terminated": ended.mean(),
  }


def _trajectories(stored: _Step) -> Trajectories:
  """Returns steps ``[H, E, N, ...]`` as trajectories ``[E N, H, ...]``."""
  swap = lambda x: jnp.moveaxis(x, 0, 2).reshape(-1, len(x), *x.shape[3:])
  rows: _Step = jax.tree.map(swap, stored)
  time = jnp.arange(rows.valid.shape[1], dtype=jnp.int32)
  truncated = rows.valid & ~rows.terminated & (time == len(time) - 1)
  return Trajectories(
    rows.obs,
    rows.action,
    rows.reward,
    rows.next_obs,
    rows.terminated,
    truncated,
    rows.valid,
    jnp.broadcast_to(time, rows.valid.shape),
  )
