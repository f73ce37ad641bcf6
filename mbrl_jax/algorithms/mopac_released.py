"""MoPAC's plans as the released code makes them, beside the form that was meant (``mopac``).

With ``half`` half the action range, noise ``eps_k ~ N(0, 1)`` that stays the same for all calls
of one epoch, copies ``k < K`` that follow the policy from the start state ``s`` and differ in
noise, the policy's draws and the model's::

  a_k,t   = clip(pi(s_k,t) + noise half eps_k,t)                        # t < H - 1
  R_k     = sum_{t < H-1} gamma^t r_k,t + gamma^(H-1) V(s_k,H-1)
  w_k     = exp(R_k - max R) / (sum_k exp(R_k - max R) + 1e-6)          # lambda = 1
  u_t     = clip(a_0,t + noise half sum_k w_k eps_k,t)                  # t < H - 1
  u_{H-1} = clip(middle + noise half sum_k w_k eps_k,H-1)

``clip`` keeps within 1.4 half ranges of the middle of the bounds. A copy that has terminated
goes on collecting rewards, and ``V`` of where it gets to; rows that follow a termination are
stored, too.

Source: Morgan et al. 2021, "Model Predictive Actor-Critic", released code.

Deviations from the released code:
  * Rollouts go on where all copies have terminated; there that call would stop.
  * Start states are dealt to the elites evenly, not drawn.
  * A copy whose return is not finite has no weight.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.actor_critic import Agent, policy_params
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.ops.matmul import einsum
from mbrl_jax.ops.noise import normal
from mbrl_jax.planners.rollout import split_keys
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, Params, Transition

REACH = 1.4
"""Half action ranges from the middle of the bounds within which plans are kept."""


def released_plan(
  spec: EnvSpec,
  agent: Agent,
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
  """Plans from one state, over one elite.

  Args:
    spec: the task.
    agent: the actor-critic, with a value of states.
    dynamics: one elite's.
    horizon: rows of the plan, the longest rollout.
    samples: ``K``.
    noise: deviation as a share of half the action range, ``[]``.
    sac: the actor-critic's state.
    steps: ``H``, length of the rollouts at present, ``[]``; at most ``horizon``.
    params: of the elite.
    obs: where the plan starts, ``[O]``.
    key: for the policy and the model.
    epoch_key: for the noise.

  Returns:
    The plan ``[horizon, A]``; rows from ``steps`` on mean nothing.
  """
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  middle, half = (low + high) / 2, (high - low) / 2
  clip = lambda action: jnp.clip(action, middle - REACH * half, middle + REACH * half)
  eps = noise * half * normal(epoch_key, (samples, horizon, len(low)))
  policy, none, discount = (
    policy_params(sac),
    jnp.zeros((), jnp.int32),
    sac.hyperparams.discount,
  )
  noise_key, act_key = jax.random.split(key)
  draws = (dynamics.noise or split_keys)(noise_key, (horizon, samples))

  def advance(obs: Array, eps: Array, draw: Key, key: Key) -> tuple[Array, Array, Array]:
    action = clip(agent.act(policy, none, obs, key)[0] + eps)
    next_obs, reward, _ = dynamics.step(params, obs, action, draw)
    return next_obs, reward, action

  def body(carry: tuple, x: tuple) -> tuple[tuple, Array]:
    obs, total = carry
    t, eps, draw, keys = x
    next_obs, reward, action = jax.vmap(advance)(obs, eps, draw, keys)
    moving = t < steps - 1
    obs = jnp.where(moving, next_obs, obs)
    total += jnp.where(moving, discount**t * reward, 0.0)
    return (obs, total), action[0]

  start = (jnp.broadcast_to(obs, (samples, *obs.shape)), jnp.zeros(samples))
  keys = split_keys(act_key, (horizon, samples))
  rows = (jnp.arange(horizon), jnp.swapaxes(eps, 0, 1), draws, keys)
  (ends, returns), base = jax.lax.scan(body, start, rows)
  value = jax.vmap(lambda obs: agent.sac.v(sac.target_value, spec.encode(obs)))(ends)
  returns += discount ** (steps - 1).astype(jnp.float32) * value
  finite = jnp.isfinite(returns)
  top = jnp.max(returns, where=finite, initial=jnp.finfo(jnp.float32).min)
  weights = jnp.where(finite, jnp.exp(jnp.minimum(returns - top, 0.0)), 0.0)
  weights /= weights.sum() + 1e-6
  rolled = (jnp.arange(horizon) < steps - 1)[:, None]
  return clip(jnp.where(rolled, base, middle) + einsum("k,kha->ha", weights, eps))


def store_all(buffer: ring.Ring, made: Transition, alive: Array) -> ring.Ring:
  """Stores every row of a step, those after a termination included."""
  return ring.add_many(buffer, made, jnp.ones_like(alive))
