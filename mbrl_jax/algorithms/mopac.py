"""MoPAC: MBPO whose imagined rollouts are first improved by path-integral control.

From each start state ``s`` the policy is rolled out through one elite of the ensemble, which
gives the nominal plan ``a_0 .. a_{H-1}``. ``K`` copies are made of it, all but the first
disturbed, and scored over the same elite, with the value ``V`` of the state where they end::

  u_k = clip(a + sigma eps_k),  eps_0 = 0,  eps_k ~ N(0, 1)
  R_k = sum_{t < H} gamma^t r_t + gamma^H V(s_H)         # nothing after a termination
  w   = softmax((R - max R) / (lambda std R))
  u   = sum_k w_k u_k

The improved plan is executed from ``s`` in another elite, and what happens, until it
terminates, goes to the buffer that the actor-critic learns from. The real environment is only
ever stepped by the actor.

Source: Morgan et al. 2021, "Model Predictive Actor-Critic: Accelerating Robot Skill Acquisition
with Deep Reinforcement Learning", and the released code.

Deviations from the released code, which draws its noise once an epoch, starts from a copy that
is disturbed already, averages noise that had no effect for the last action, goes on after a
termination, clips to 1.4 times the bounds and takes ``lambda`` in units of return. With
``as_released`` the plans are those, see ``mopac_released``; without:
  * Each call draws its own noise, the nominal plan is undisturbed, the last action is the
    policy's, returns and stored rows end with a termination, actions keep the bounds.
  * ``lambda`` is in units of the spread of the returns of one start state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms import mbpo
from mbrl_jax.algorithms.mopac_released import released_plan, store_all
from mbrl_jax.algorithms.parts.actor_critic import Agent, AgentConfig, make_agent, policy_params
from mbrl_jax.algorithms.parts.model_rollouts import imagine
from mbrl_jax.algorithms.parts.schedule import check_schedule
from mbrl_jax.algorithms.parts.world_model import WorldModel, make_world_model
from mbrl_jax.algorithms.single_precision import in_single_precision
from mbrl_jax.buffers import ring
from mbrl_jax.learners import SACState
from mbrl_jax.ops.matmul import einsum
from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import positive
from mbrl_jax.planners import make_evaluate
from mbrl_jax.planners.rollout import slice_mapper, split_keys
from mbrl_jax.planners.utility import magnitude, softmax
from mbrl_jax.types import Algorithm, Array, Dynamics, EnvSpec, Key, Params, State


class Hyperparams(NamedTuple):
  """Numbers that may be changed at any time; see ``Config``.

  Attributes:
    noise: ``[]``.
    temperature: ``[]``.
  """

  noise: Array
  temperature: Array


@dataclass(frozen=True)
class Config(mbpo.Config):
  """MoPAC; what is MBPO's, see there.

  Attributes:
    samples: K, disturbed plans for each start state, the undisturbed one included.
    noise: their deviation, as a share of half the action range.
    temperature: lambda, in units of the spread of the returns of one start state; as_released
      has 1, in units of return, whatever this says.
    as_released: plan as the released code does, with what looks like oversights in it.
  """

  fit_until: int = 70
  rollout_batch_size: int = 10_000
  rollout_schedule: tuple[float, ...] = (0, 500, 5, 5)
  real_ratio_schedule: tuple[float, ...] = (0, 500, 0.8, 0.8)
  agent: AgentConfig = field(
    default_factory=lambda: AgentConfig(updates_per_step=20, target_entropy=0.0)
  )
  samples: int = 100
  noise: float = 0.5
  temperature: float = 0.5
  as_released: bool = False


@in_single_precision
def make_mopac(spec: EnvSpec, config: Config) -> Algorithm:
  """Makes MoPAC for a task.

  Raises:
    ValueError: see ``mbpo.make_mbpo``; samples, noise or temperature that are not positive.
  """
  positive(samples=config.samples, noise=config.noise, temperature=config.temperature)
  check_schedule("rollout_schedule", config.rollout_schedule, 1, float("inf"))  # of plans, too
  agent = make_agent(spec, config.agent, value=True)
  world_model = make_world_model(spec, config.world_model)
  hyperparams = Hyperparams(np.float32(config.noise), np.float32(config.temperature))
  rollouts = improved(spec, config, agent, world_model)
  return mbpo.assemble(spec, config, agent, world_model, rollouts, hyperparams)


def improved(
  spec: EnvSpec, config: Config, agent: Agent, world_model: WorldModel
) -> mbpo.Rollouts:
  """Makes rollouts of improved plans."""
  horizon, dynamics = mbpo.longest(config), world_model.dynamics
  if config.as_released:
    plan = partial(released_plan, spec, agent, dynamics, horizon, config.samples)
    improve = lambda hyperparams, *args: plan(hyperparams.noise, *args)
  else:
    plan = partial(_improve, spec, agent, dynamics, horizon, config.samples)
    improve = lambda *args: plan(*args[:-1])

  def rollouts(
    hyperparams: Hyperparams,
    buffer: ring.Ring,
    params: Params,
    sac: SACState,
    starts: Array,
    steps: Array,
    key: Key,
    epoch_key: Key,
  ) -> ring.Ring:
    plan_key, deal_key, roll_key = jax.random.split(key, 3)
    fold = lambda x: x.reshape(dynamics.slices, -1, *x.shape[1:])
    keys = [fold(split_keys(k, (len(starts),))) for k in (plan_key, epoch_key)]
    one = partial(improve, hyperparams, sac, steps)
    over_slices = slice_mapper(dynamics, params)
    plans = over_slices(jax.vmap(one, (None, 0, 0, 0)), fold(starts), *keys)
    plans = plans.reshape(len(starts), horizon, -1)
    # in another order, so that other elites execute them
    order = jax.random.permutation(deal_key, len(starts))
    plans = plans[order]
    return imagine(
      dynamics,
      params,
      starts[order],
      lambda t, row, obs, key: plans[row, t],
      steps,
      roll_key,
      store=store_all if config.as_released else ring.add_many,
      carry=buffer,
      redraw=False,
    )

  return rollouts


def _improve(
  spec: EnvSpec,
  agent: Agent,
  dynamics: Dynamics,
  horizon: int,
  count: int,
  hyperparams: Hyperparams,
  sac: SACState,
  steps: Array,
  params: Params,
  obs: Array,
  key: Key,
) -> Array:
  """Improves the policy's plan from one state, over one elite; ``[H, A]``."""
  nominal_key, noise_key, score_key = jax.random.split(key, 3)
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  nominal = _policy_plan(agent, dynamics, horizon, sac, params, obs, nominal_key)
  noise = normal(noise_key, (count, *nominal.shape)).at[0].set(0.0)
  samples = jnp.clip(nominal + hyperparams.noise * (high - low) / 2 * noise, low, high)
  discount = sac.hyperparams.discount

  def terminal(params: Params, state: State, key: Key) -> Array:
    del params, key
    return state.weight * agent.sac.v(sac.target_value, spec.encode(state.obs))

  evaluate = make_evaluate(_stopping(dynamics, steps, discount), terminal=terminal)
  start = _Walk(obs, jnp.zeros((), jnp.int32), jnp.ones((), jnp.float32))
  returns = evaluate(params, start, samples, score_key)
  usable = jnp.isfinite(returns)
  unit = magnitude(returns)  # so that squares neither overflow nor vanish
  returns = returns / unit
  finite = jnp.where(usable, returns, 0.0)
  known = jnp.maximum(usable.sum(), 1)
  mean = finite.sum() / known
  spread = jnp.sqrt(jnp.where(usable, jnp.square(finite - mean), 0.0).sum() / known)
  scaled = (returns - jnp.max(returns)) / (hyperparams.temperature * jnp.maximum(spread, 1e-6))
  weights = softmax(jnp.where(usable, scaled, -jnp.inf))
  plan = einsum("k,kha->ha", weights, samples)
  return jnp.where(usable.any(), plan, nominal)


class _Walk(NamedTuple):
  """Where a rollout that may be shorter than the plan stands.

  Attributes:
    obs: ``[O]``.
    t: steps taken, ``[]`` int32.
    weight: discount of the next reward, or of the value where it stands still, ``[]``.
  """

  obs: Array
  t: Array
  weight: Array


def _stopping(dynamics: Dynamics, steps: Array, discount: Array) -> Dynamics:
  """Makes one elite stand still, without reward, once ``steps`` steps are taken.

  Rewards are discounted here: what is left after ``steps`` steps is the value's discount.
  """

  def step(params: Params, state: _Walk, action: Array, key: Key) -> tuple:
    next_obs, reward, terminated = dynamics.step(params, state.obs, action, key)
    moving = state.t < steps
    after = _Walk(
      jnp.where(moving, next_obs, state.obs),
      state.t + 1,
      jnp.where(moving, state.weight * discount, state.weight),
    )
    return after, jnp.where(moving, state.weight * reward, 0.0), terminated & moving

  return Dynamics(step, noise=dynamics.noise)


def _policy_plan(
  agent: Agent,
  dynamics: Dynamics,
  horizon: int,
  sac: SACState,
  params: Params,
  obs: Array,
  key: Key,
) -> Array:
  """Returns the actions of the policy, rolled out over one elite ``[H, A]``."""
  policy, none = policy_params(sac), jnp.zeros((), jnp.int32)
  noise_key, act_key = jax.random.split(key)
  noise = (dynamics.noise or split_keys)(noise_key, (horizon,))

  def body(obs: Array, x: tuple) -> tuple[Array, Array]:
    noise, key = x
    action = agent.act(policy, none, obs, key)[0]
    return dynamics.step(params, obs, action, noise)[0], action

  return jax.lax.scan(body, obs, (noise, jax.random.split(act_key, horizon)))[1]
