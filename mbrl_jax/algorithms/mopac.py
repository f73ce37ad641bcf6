"""MoPAC: MBPO with model rollouts refined by path-integral control (MPPI).

From each start state ``s`` a rollout of the policy in one elite of the ensemble gives the
nominal plan ``a_0 .. a_{H-1}``. ``K`` plans, the nominal one and ``K - 1`` perturbed copies,
are scored in the same elite, with terminal value ``V``::

  u_k = clip(a + sigma eps_k),  eps_0 = 0,  eps_k ~ N(0, 1)
  R_k = sum_{t < H} gamma^t r_t + gamma^H V(s_H)         # nothing after a termination
  w   = softmax((R - max R) / (lambda std R))
  u   = sum_k w_k u_k

The refined plan ``u`` is executed from ``s`` in another elite, and the transitions until
termination go to the model buffer of the actor-critic. Only the actor steps the real
environment.

Source: Morgan et al. 2021, "Model Predictive Actor-Critic: Accelerating Robot Skill Acquisition
with Deep Reinforcement Learning", and the released code.

Deviations from the released code, which draws its noise once per epoch, starts from a perturbed
nominal plan, averages noise without effect for the last action, continues after a termination,
clips to 1.4 times the bounds and takes ``lambda`` in units of return. ``as_released``
reproduces its plans, see ``mopac_released``; without it:
  * Each call draws its own noise, the nominal plan is unperturbed, the last action is the
    policy's, returns and stored rows end with a termination, actions stay within the bounds.
  * ``lambda`` is in units of the standard deviation of the returns of one start state.
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
from mbrl_jax.algorithms.parts.actor_critic import (
  ActorCritic,
  ActorCriticConfig,
  make_actor_critic,
  policy_params,
)
from mbrl_jax.algorithms.parts.epoch_schedule import check_schedule
from mbrl_jax.algorithms.parts.model_rollouts import RolloutFn, branched_rollout
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
from mbrl_jax.types import Algorithm, Array, Dynamics, EnvSpec, Key, KeyOrNoise, Params, State


class Hyperparams(NamedTuple):
  """Hyper-parameters that may change between plans; see ``Config``.

  Attributes:
    noise: ``[]``.
    temperature: ``[]``.
  """

  noise: Array | np.ndarray
  temperature: Array | np.ndarray


@dataclass(frozen=True)
class Config(mbpo.Config):
  """MoPAC; further fields are those of MBPO.

  Attributes:
    samples: K, plans per start state, including the nominal one.
    noise: their deviation, as a share of half the action range.
    temperature: lambda, in units of the standard deviation of the returns of one start state;
      as_released always uses 1, in units of return.
    as_released: plan as the released code does, including its apparent mistakes.
  """

  fit_until: int = 70
  rollout_batch_size: int = 10_000
  rollout_schedule: tuple[float, ...] = (0, 500, 5, 5)
  real_ratio_schedule: tuple[float, ...] = (0, 500, 0.8, 0.8)
  agent: ActorCriticConfig = field(
    default_factory=lambda: ActorCriticConfig(updates_per_step=20, target_entropy=0.0)
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
  agent = make_actor_critic(spec, config.agent, value=True)
  world_model = make_world_model(spec, config.world_model)
  hyperparams = Hyperparams(
    np.asarray(config.noise, np.float32), np.asarray(config.temperature, np.float32)
  )
  rollouts = mppi_rollouts(spec, config, agent, world_model)
  return mbpo.assemble(spec, config, agent, world_model, rollouts, hyperparams)


def mppi_rollouts(
  spec: EnvSpec, config: Config, agent: ActorCritic, world_model: WorldModel
) -> RolloutFn:
  """Makes branched rollouts of refined plans."""
  horizon, dynamics = mbpo.max_rollout_length(config), world_model.dynamics
  if config.as_released:
    released = partial(released_plan, spec, agent, dynamics, horizon, config.samples)
    make_plan = lambda hyperparams, *args: released(hyperparams.noise, *args)
  else:
    refined = partial(_mppi_plan, spec, agent, dynamics, horizon, config.samples)
    make_plan = lambda *args: refined(*args[:-1])

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
    plan_key, order_key, roll_key = jax.random.split(key, 3)
    fold = lambda x: x.reshape(dynamics.slices, -1, *x.shape[1:])
    keys = [fold(split_keys(k, (len(starts),))) for k in (plan_key, epoch_key)]
    plan_one = partial(make_plan, hyperparams, sac, steps)
    over_slices = slice_mapper(dynamics, params)
    plans = over_slices(jax.vmap(plan_one, (None, 0, 0, 0)), fold(starts), *keys)
    plans = plans.reshape(len(starts), horizon, -1)
    # permuted, so that other elites execute them
    order = jax.random.permutation(order_key, len(starts))
    plans = plans[order]
    return branched_rollout(
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


def _mppi_plan(
  spec: EnvSpec,
  agent: ActorCritic,
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
  """Refines the policy's plan from one state by MPPI in one elite; ``[H, A]``."""
  nominal_key, noise_key, score_key = jax.random.split(key, 3)
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  nominal = _policy_plan(agent, dynamics, horizon, sac, params, obs, nominal_key)
  noise = normal(noise_key, (count, *nominal.shape)).at[0].set(0.0)
  samples = jnp.clip(nominal + hyperparams.noise * (high - low) / 2 * noise, low, high)
  discount = sac.hyperparams.discount

  def terminal(params: Params, state: State, key: Key) -> Array:
    del params, key
    return state.weight * agent.sac.v(sac.target_value, spec.encode(state.obs))

  evaluate = make_evaluate(_truncated(dynamics, steps, discount), terminal=terminal)
  start = _RolloutState(obs, jnp.zeros((), jnp.int32), jnp.ones((), jnp.float32))
  returns = evaluate(params, start, samples, score_key)
  finite = jnp.isfinite(returns)
  unit = magnitude(returns)  # so that squares neither overflow nor underflow
  returns = returns / unit
  usable = jnp.where(finite, returns, 0.0)
  number = jnp.maximum(finite.sum(), 1)
  mean = usable.sum() / number
  std = jnp.sqrt(jnp.where(finite, jnp.square(usable - mean), 0.0).sum() / number)
  scaled = (returns - jnp.max(returns)) / (hyperparams.temperature * jnp.maximum(std, 1e-6))
  weights = softmax(jnp.where(finite, scaled, -jnp.inf))
  plan = einsum("k,kha->ha", weights, samples)
  return jnp.where(finite.any(), plan, nominal)


class _RolloutState(NamedTuple):
  """State of a rollout that may be shorter than the plan.

  Attributes:
    obs: ``[O]``.
    t: steps taken, ``[]`` int32.
    weight: discount of the next reward, or of the terminal value once it has stopped, ``[]``.
  """

  obs: Array
  t: Array
  weight: Array


def _truncated(dynamics: Dynamics, steps: Array, discount: Array | float) -> Dynamics:
  """Stops the dynamics of one elite after ``steps`` steps: same state, no reward.

  Rewards are discounted here; the weight after ``steps`` steps discounts the terminal value.
  """

  def step(
    params: Params, state: _RolloutState, action: Array, key: KeyOrNoise
  ) -> tuple[_RolloutState, Array, Array]:
    next_obs, reward, terminated = dynamics.step(params, state.obs, action, key)
    active = state.t < steps
    next_state = _RolloutState(
      jnp.where(active, next_obs, state.obs),
      state.t + 1,
      jnp.where(active, state.weight * discount, state.weight),
    )
    return next_state, jnp.where(active, state.weight * reward, 0.0), terminated & active

  return Dynamics(step, noise=dynamics.noise)


def _policy_plan(
  agent: ActorCritic,
  dynamics: Dynamics,
  horizon: int,
  sac: SACState,
  params: Params,
  obs: Array,
  key: Key,
) -> Array:
  """Returns the actions ``[H, A]`` of a rollout of the policy in one elite."""
  policy, warm_up = policy_params(sac), jnp.zeros((), jnp.int32)
  noise_key, act_key = jax.random.split(key)
  noise = (dynamics.noise or split_keys)(noise_key, (horizon,))

  def body(obs: Array, x: tuple[KeyOrNoise, Key]) -> tuple[Array, Array]:
    noise, key = x
    action = agent.act(policy, warm_up, obs, key)[0]
    return dynamics.step(params, obs, action, noise)[0], action

  return jax.lax.scan(body, obs, (noise, jax.random.split(act_key, horizon)))[1]
