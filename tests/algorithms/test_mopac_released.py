"""MoPAC as released: plans against a reference loop, stored rows, noise per epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import mbpo, mopac
from mbrl_jax.algorithms.mopac_released import released_plan, store_all
from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig, make_actor_critic
from mbrl_jax.algorithms.parts.model_rollouts import branched_rollout
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.algorithms.parts.world_model import WorldModel, WorldModelConfig, make_world_model
from mbrl_jax.buffers import ring
from mbrl_jax.envs import make_env
from mbrl_jax.ops.noise import normal
from mbrl_jax.types import Dynamics

LOW, HIGH = np.float32([-2.0]), np.float32([4.0])  # the middle is 1, half the range 3
SPEC = make_env("pendulum").spec._replace(action_low=LOW, action_high=HIGH)
AGENT = ActorCriticConfig(hidden=(4,), batch_size=2, discount=0.8)
WORLD = WorldModelConfig(members=2, elites=1, hidden=(4,), weight_decay=(0.0,))
K, HORIZON, NOISE = 6, 5, 0.5


def linear_step(params, obs, action, key):
  """Linear dynamics that terminate often; rewards continue after a termination."""
  next_obs = 0.9 * obs + jnp.array([1.0, -0.5, 0.2]) * action[0]
  return next_obs, -0.1 * jnp.square(next_obs[0]), jnp.abs(next_obs[0]) > 1


def analytic_agent():
  """A deterministic policy and value without networks."""
  agent = make_actor_critic(SPEC, AGENT, value=True)
  v = lambda params, obs: 0.3 * obs[0] - obs[1] ** 2 / 10
  act = lambda params, left, obs, key: (1 + 2.9 * jnp.tanh(obs[1:2]), left, {})
  return agent._replace(act=act, sac=agent.sac._replace(v=v))


def reference_plan(obs, eps, steps):
  """Computes the released plan with loops, in float64."""
  clip = lambda a: np.clip(a, 1 - 1.4 * 3, 1 + 1.4 * 3)
  returns, base = np.zeros(K), np.zeros(steps)
  for k in range(K):
    s = np.float64(obs)
    for t in range(steps - 1):
      a = clip(1 + 2.9 * np.tanh(s[1]) + NOISE * 3 * eps[k, t, 0])
      base[t] = a if k == 0 else base[t]
      s = 0.9 * s + np.array([1.0, -0.5, 0.2]) * a
      returns[k] += 0.8**t * -0.1 * s[0] ** 2
    returns[k] += 0.8 ** (steps - 1) * (0.3 * s[0] - s[1] ** 2 / 10)
  weights = np.exp(returns - returns.max())
  weights /= weights.sum() + 1e-6
  push = NOISE * 3 * np.einsum("k,kh->h", weights, eps[:, :steps, 0])
  base[steps - 1] = 1.0  # the middle of the bounds: the last action has no nominal value
  return clip(base + push)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_plans_match_the_reference(steps):
  agent = analytic_agent()
  sac = agent.init(jax.random.key(0))
  starts = np.float32([[0.3, -0.2, 0.1], [-4.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
  epoch_key = jax.random.key(7)
  plan = jax.jit(
    lambda obs: released_plan(
      SPEC, agent, Dynamics(linear_step), HORIZON, K,
      NOISE, sac, jnp.int32(steps), None, obs, jax.random.key(1), epoch_key,
    )
  )  # fmt: skip
  eps = np.asarray(normal(epoch_key, (K, HORIZON, 1)), np.float64)
  for obs in starts:
    expected = reference_plan(obs, eps, steps)
    np.testing.assert_allclose(plan(obs)[:steps, 0], expected, atol=2e-4)


def test_rows_after_a_termination_are_stored():
  end = lambda params, obs, action, key: (obs + 1, jnp.ones(()), jnp.ones((), bool))
  roll = lambda store: branched_rollout(
    Dynamics(end), None, jnp.zeros((2, 3)), lambda t, row, obs, key: jnp.zeros(1), 3,
    jax.random.key(0), store=store, carry=ring.init(20, blank_transition(SPEC)), redraw=False,
  )  # fmt: skip
  assert int(roll(ring.add_many).size) == 2
  stored = roll(store_all)
  assert int(stored.size) == 6
  assert stored.data.obs[:6, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_the_epoch_key_is_constant_within_an_epoch():
  def fit(state, buffer, key, epochs):
    return state, {"model_error": jnp.zeros(()), "fit_epochs": epochs}

  world_model = make_world_model(SPEC, WORLD).init(jax.random.key(3))
  fake = WorldModel(Dynamics(linear_step), lambda key: world_model, fit)

  def rollouts(hyperparams, buffer, params, sac, starts, steps, key, epoch_key):
    draw = lambda key: jax.random.uniform(key)
    row = blank_transition(SPEC)._replace(reward=draw(epoch_key), obs=jnp.full(3, draw(key)))
    return ring.add(buffer, row)

  config = mopac.Config(
    steps=60, init_steps=10, update_every=10, epoch_length=20, rollout_batch_size=5, agent=AGENT
  )
  agent = make_actor_critic(SPEC, AGENT)
  algorithm = mbpo.assemble(SPEC, config, agent, fake, rollouts)
  state = algorithm.init(jax.random.key(0))
  state = state._replace(carry=jnp.zeros_like(state.carry))  # warm-up is over
  update = jax.jit(algorithm.update)
  for steps in (10, 20, 30, 40):
    state, _ = update(state._replace(steps=jnp.int32(steps)))
  data = state.learn.model.data
  noise, fresh = data.reward[:4].tolist(), data.obs[:4, 0].tolist()
  assert noise[0] == noise[1] != noise[2] == noise[3]
  assert len(set(fresh)) == 4


@pytest.mark.slow
def test_the_algorithm_learns_with_as_released():
  from test_actor_critics import CONFIGS, actor, moved

  from mbrl_jax.algorithms import init_state, make_algorithm, make_step

  env = make_env("pendulum", episode_length=15)
  config = mopac.Config(**{**vars(CONFIGS["mopac"]), "as_released": True})
  algorithm = make_algorithm("mopac", env.spec, config)
  state = init_state(algorithm, env, jax.random.key(0))
  step, states = make_step(algorithm, env, steps=10), []
  for _ in range(4):
    state, _ = step(state)
    states.append(state)
  assert moved(actor(states[2]), actor(states[3]))
  size = int(state.learn.model.size)
  assert np.isfinite(state.learn.model.data.obs[:size]).all()
