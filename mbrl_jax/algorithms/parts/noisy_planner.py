"""Acts by a planner with Gaussian noise on its actions, after uniform warm-up actions."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.model_planner import ActParams
from mbrl_jax.algorithms.parts.plan_or_follow import PlanCarry, deployed_carry, plan_or_follow
from mbrl_jax.algorithms.parts.warm_up import decrement, uniform_action
from mbrl_jax.types import Array, EnvSpec, Key, Metrics, Planner


def act_with_noise(
  spec: EnvSpec, planner: Planner, params: ActParams, carry: PlanCarry, obs: Array, key: Key
) -> tuple[Array, PlanCarry, Metrics]:
  """Takes the planner's action with noise, clipped to the bounds, or a uniform one without.

  ``params.action_noise`` is the standard deviation in units in which the bounds are -1 and 1;
  ``None``: no noise. Returns the action ``[A]``, the carry, and ``info`` of the step.
  """
  random_key, plan_key, noise_key = jax.random.split(key, 3)
  random = (carry.random > 0) | ~params.ready
  action, plan, info = plan_or_follow(
    planner, random, uniform_action(spec, random_key), params.model, obs, carry.plan, plan_key
  )
  info["random"] = random.astype(jnp.float32)
  if params.action_noise is not None:
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    noise = params.action_noise * (high - low) / 2 * jax.random.normal(noise_key, low.shape)
    action = jnp.where(random, action, jnp.clip(action + noise, low, high))
  return action, PlanCarry(plan, decrement(carry.random)), info


def deploy_without_noise(params: ActParams) -> tuple[ActParams, PlanCarry]:
  """Returns parameters and carry for deployment: neither noise nor warm-up."""
  if params.action_noise is not None:
    params = params._replace(action_noise=jnp.zeros(()))
  return params._replace(ready=jnp.ones((), bool)), deployed_carry(params.fresh)
