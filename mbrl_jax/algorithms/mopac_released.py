"""MoPAC's plans as the released code computes them; ``mopac`` has the intended form.

With ``half`` half the action range, noise ``eps_k ~ N(0, 1)`` that is the same for all calls of
one epoch, and rollouts ``k < K`` of the policy from the start state ``s`` that differ in noise,
policy samples and model samples::

  a_k,t   = clip(pi(s_k,t) + noise half eps_k,t)                        # t < H - 1
  R_k     = sum_{t < H-1} gamma^t r_k,t + gamma^(H-1) V(s_k,H-1)
  w_k     = exp(R_k - max R) / (sum_k exp(R_k - max R) + 1e-6)          # lambda = 1
  u_t     = clip(a_0,t + noise half sum_k w_k eps_k,t)                  # t < H - 1
  u_{H-1} = clip(middle + noise half sum_k w_k eps_k,H-1)

``clip`` keeps within 1.4 half ranges of the middle of the bounds. A rollout continues after a
termination, with rewards and ``V``; transitions after a termination are stored, too.

Source: Morgan et al. 2021, "Model Predictive Actor-Critic", released code.

Deviations from the released code:
  * Rollouts continue when all have terminated, where the released code stops the call.
  * Start states are split evenly among the elites, not drawn.
  * A rollout with a non-finite return has weight zero.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.actor_critic import ActorCritic, policy_params
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.ops.matmul import einsum
from mbrl_jax.ops.noise import normal
from mbrl_jax.planners.rollout import split_keys
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, KeyOrNoise, Params, Transition

REACH = 1.4
"""Clipping range of plans around the middle of the bounds, in half action ranges."""


def released_plan(
  spec: EnvSpec,
  agent: ActorCritic,
  dynamics: Dynamics,
  horizon: int,
  samples: int,
  noise: Array,
  sac: SACState,
  steps: Array,
  params: Params,
  obs: Array,
  key: Key,
  epoch_key: Key,
) -> Array:
  """Plans from one state in one elite.

  Args:
    spec: the task.
    agent: the actor-critic, with a state value.
    dynamics: of one elite.
    horizon: rows of the plan, the largest rollout length.
    samples: ``K``.
    noise: deviation as a share of half the action range, ``[]``.
    sac: the actor-critic's state.
    steps: ``H``, the current rollout length, ``[]``; at most ``horizon``.
    params: of the elite.
    obs: start state of the plan, ``[O]``.
    key: for the policy and the model.
    epoch_key: for the noise.

  Returns:
    The plan ``[horizon, A]``; rows from ``steps`` on are unused.
  """
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  middle, half = (low + high) / 2, (high - low) / 2
  clip = lambda action: jnp.clip(action, middle - REACH * half, middle + REACH * half)
  eps = noise * half * normal(epoch_key, (samples, horizon, len(low)))
  value = lambda obs: agent.sac.v(sac.target_value, spec.encode(obs))
  returns, base = _roll_out(agent, dynamics, clip, value, eps, sac, steps, params, obs, key)
  finite = jnp.isfinite(returns)
  top = jnp.max(returns, where=finite, initial=jnp.finfo(jnp.float32).min)
  weights = jnp.where(finite, jnp.exp(jnp.minimum(returns - top, 0.0)), 0.0)
  weights /= weights.sum() + 1e-6
  nominal = (jnp.arange(horizon) < steps - 1)[:, None]
  return clip(jnp.where(nominal, base, middle) + einsum("k,kha->ha", weights, eps))


def _roll_out(
  agent: ActorCritic,
  dynamics: Dynamics,
  clip: Callable[[Array], Array],
  value: Callable[[Array], Array],
  eps: Array,
  sac: SACState,
  steps: Array,
  params: Params,
  obs: Array,
  key: Key,
) -> tuple[Array, Array]:
  """Rolls out the policy with action noise ``eps [K, horizon, A]``.

  Returns:
    The returns ``R_k``, ``[K]``, and the actions ``a_0,t``, ``[horizon, A]``.
  """
  samples, horizon, _ = eps.shape
  policy, warm_up = policy_params(sac), jnp.zeros((), jnp.int32)
  discount = sac.hyperparams.discount
  noise_key, act_key = jax.random.split(key)
  draws = (dynamics.noise or split_keys)(noise_key, (horizon, samples))

  def advance(obs: Array, eps: Array, draw: KeyOrNoise, key: Key) -> tuple[Array, Array, Array]:
    action = clip(agent.act(policy, warm_up, obs, key)[0] + eps)
    next_obs, reward, _ = dynamics.step(params, obs, action, draw)
    return next_obs, reward, action

  def body(carry: tuple, x: tuple) -> tuple[tuple, Array]:
    obs, total = carry
    t, eps, draw, keys = x
    next_obs, reward, action = jax.vmap(advance)(obs, eps, draw, keys)
    active = t < steps - 1
    obs = jnp.where(active, next_obs, obs)
    total += jnp.where(active, discount**t * reward, 0.0)
    return (obs, total), action[0]

  start = (jnp.broadcast_to(obs, (samples, *obs.shape)), jnp.zeros(samples))
  keys = split_keys(act_key, (horizon, samples))
  rows = (jnp.arange(horizon), jnp.swapaxes(eps, 0, 1), draws, keys)
  (ends, returns), base = jax.lax.scan(body, start, rows)
  returns += discount ** (steps - 1).astype(jnp.float32) * jax.vmap(value)(ends)
  return returns, base


def store_all(buffer: ring.Ring, transitions: Transition, alive: Array) -> ring.Ring:
  """Stores every row of a step, including those after a termination."""
  return ring.add_many(buffer, transitions, jnp.ones_like(alive))
