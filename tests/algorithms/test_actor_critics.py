"""SAC and the algorithms built on it: start of learning, buffers, evaluations, errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import (
  demorl,
  init_state,
  loop,
  make_algorithm,
  make_evaluation,
  make_step,
  mbpo,
  mopac,
  sac,
)
from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig
from mbrl_jax.algorithms.parts.epoch_schedule import at_epoch, check_schedule
from mbrl_jax.algorithms.parts.lookahead import LookaheadConfig
from mbrl_jax.algorithms.parts.world_model import WorldModelConfig
from mbrl_jax.envs import make_env
from mbrl_jax.types import Dynamics

AGENT = ActorCriticConfig(hidden=(16, 16), batch_size=8, updates_per_step=2, learning_rate=1e-3)
WORLD = WorldModelConfig(members=3, elites=2, hidden=(16,), weight_decay=(0.0,), epochs=3)
COMMON = {"steps": 60, "init_steps": 20, "update_every": 10, "agent": AGENT}
MODEL_BASED = {**COMMON, "rollout_batch_size": 12, "epoch_length": 20, "world_model": WORLD}
LOOKAHEAD = LookaheadConfig(
  horizon=2, samples=8, policy_plans=2, iterations=2, particles=2, elites=3
)
PLANNING = {**COMMON, "world_model": WORLD, "lookahead": LOOKAHEAD}
CONFIGS = {
  "sac": sac.Config(**COMMON),
  "mbpo": mbpo.Config(**MODEL_BASED, rollout_schedule=(0, 1, 1, 3)),
  "mopac": mopac.Config(**MODEL_BASED, rollout_schedule=(0, 500, 2, 2), samples=4),
  "demorl": demorl.Config(**PLANNING, model_buffer_size=100),
  "loop": loop.Config(**PLANNING),
}


def train(name, calls, seeds=None):
  env = make_env("pendulum", episode_length=15)
  algorithm = make_algorithm(name, env.spec, CONFIGS[name])
  start = lambda key: init_state(algorithm, env, key)
  if seeds is None:
    state = start(jax.random.key(0))
  else:
    state = jax.vmap(start)(jnp.stack([jax.random.key(s) for s in seeds]))
  step, history = make_step(algorithm, env, steps=10, seeds=seeds and len(seeds)), []
  for _ in range(calls):
    state, metrics = step(state)
    history.append((state, jax.device_get(metrics["update"])))
  assert step._cache_size() == 1
  return env, algorithm, history


def actor(state):
  return state.learn.sac.nets.actor


def moved(before, after):
  pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
  return any((np.asarray(a) != np.asarray(b)).any() for a, b in pairs)


# whole algorithms take half a minute or more to compile
whole = pytest.mark.slow


@pytest.mark.parametrize(
  "name", [name if name == "sac" else pytest.param(name, marks=whole) for name in CONFIGS]
)
def test_learning_starts_after_warm_up(name):
  _, _, history = train(name, 4)
  states = [state for state, _ in history]
  assert [int(s.steps) for s in states] == [10, 20, 30, 40]
  real = [s.learn.buffer if name == "sac" else s.learn.real for s in states]
  assert [int(b.size) for b in real] == [10, 20, 30, 40]
  if name in ("mbpo", "mopac"):  # wait for the first rollouts, at the end of the call
    assert not moved(states[0].learn.sac.nets, states[1].learn.sac.nets)
  assert moved(actor(states[2]), actor(states[3]))
  assert [float(update["ran"]) for _, update in history][2:] == [1, 1]


@whole
def test_the_model_is_fitted_and_rolled_out_by_the_schedules():
  _, _, history = train("mbpo", 4)
  sizes = [int(state.learn.model.size) for state, _ in history]
  # the epoch after warm-up: length 1; the pendulum never terminates
  assert sizes[0] == 0 and sizes[1] == 12 and sizes[2] == 24
  assert [int(update["fit_epochs"]) for _, update in history] == [0, 3, 3, 3]
  assert history[3][1]["rollout_length"] == 3
  assert moved(history[0][0].learn.world_model.params, history[1][0].learn.world_model.params)


@whole
def test_model_transitions_have_predicted_rewards():
  """The reward of a stored row is the ensemble's prediction, not the task's."""
  _, _, history = train("mbpo", 3)
  data = jax.tree.map(lambda x: x[:12], history[1][0].learn.model.data)
  real = make_env("pendulum").spec.reward
  exact = jax.vmap(real)(data.obs, data.action, data.next_obs)
  assert np.isfinite(data.reward).all() and np.abs(data.reward - exact).max() > 1e-3


@whole
def test_seeds_by_vmap_equal_single_runs():
  _, _, several = train("mbpo", 3, seeds=[0, 5])
  _, _, single = train("mbpo", 3)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[0], b, rtol=2e-3, atol=2e-3),
    actor(several[-1][0]),
    actor(single[-1][0]),
  )


def test_an_evaluation_does_not_explore():
  env, algorithm, history = train("sac", 1)
  evaluate = make_evaluation(algorithm, env, episodes=2)
  state = history[0][0]
  params = algorithm.params(state)
  a, b = (evaluate(params, jax.random.key(3))["transition"].action for _ in range(2))
  np.testing.assert_array_equal(a, b)
  deployed, left = algorithm.deploy(params)
  assert state.carry > 0 and left == 0 and deployed.greedy and not params.greedy
  apart = make_evaluation(algorithm._replace(plans=True), env, episodes=2)
  one_by_one = apart(params, jax.random.key(3))["return"]
  side_by_side = evaluate(params, jax.random.key(3))["return"]
  np.testing.assert_allclose(side_by_side, one_by_one, rtol=1e-4)


def test_mopac_refines_the_policys_plan():
  """In a known model: a point with reward -x^2."""
  env = make_env("pendulum")
  agent = mopac.make_actor_critic(env.spec, CONFIGS["mopac"].agent, value=True)
  hyperparams = mopac.Hyperparams(noise=0.5, temperature=0.3)
  state = agent.init(jax.random.key(0))

  def step(params, obs, action, key):
    next_obs = obs.at[0].add(0.5 * action[0])
    return next_obs, -jnp.square(next_obs[0]), jnp.zeros((), bool)

  refine = lambda obs, key: mopac._mppi_plan(
    env.spec, agent, Dynamics(step), 4, 64, hyperparams, state, jnp.int32(4), None, obs, key
  )
  starts = jnp.zeros((50, 3)).at[:, 0].set(jnp.linspace(-3, 3, 50))
  keys = jax.random.split(jax.random.key(1), 50)
  plans = jax.jit(jax.vmap(refine))(starts, keys)
  nominal = jax.vmap(
    lambda obs, key: mopac._policy_plan(
      agent, Dynamics(step), 4, state, None, obs, jax.random.split(key, 3)[0]
    )
  )(starts, keys)
  cost = lambda plans: np.square(starts[:, :1] + 0.5 * np.cumsum(plans[..., 0], 1)).sum(1)
  assert np.mean(cost(plans) < cost(nominal)) > 0.9
  assert np.abs(plans).max() <= 2.0


def test_mopac_returns_end_with_a_termination():
  """All plans terminate at once with the same reward, so their weights are equal."""
  env = make_env("pendulum")
  agent = mopac.make_actor_critic(env.spec, AGENT, value=True)
  state = agent.init(jax.random.key(0))
  step = lambda params, obs, action, key: (
    obs + 9 * action[0],
    jnp.ones(()),
    jnp.ones((), bool),
  )
  plan = mopac._mppi_plan(
    env.spec,
    agent,
    Dynamics(step),
    2,
    4000,
    mopac.Hyperparams(noise=0.1, temperature=0.5),
    state,
    jnp.int32(2),
    None,
    jnp.zeros(3),
    jax.random.key(0),
  )
  nominal_key = jax.random.split(jax.random.key(0), 3)[0]
  nominal = mopac._policy_plan(agent, Dynamics(step), 2, state, None, jnp.zeros(3), nominal_key)
  np.testing.assert_allclose(plan[0], nominal[0], atol=0.02)


def test_schedules_are_linear_between_and_constant_outside():
  schedule = (20, 150, 1, 14)
  values = [float(at_epoch(schedule, jnp.int32(e))) for e in (0, 20, 85, 150, 900)]
  np.testing.assert_allclose(values, [1, 1, 7.5, 14, 14])


@pytest.mark.parametrize(
  ("schedule", "message"),
  [
    ((0, 1, 2), r"real_ratio=\(0, 1, 2\) must have four numbers: \[start_epoch"),
    ((5, 5, 0, 1), r"ends before it starts"),
    ((20, 100, 5, 15), r"values outside 0.0 to 1.0"),
  ],
)
def test_invalid_schedules_are_rejected(schedule, message):
  with pytest.raises(ValueError, match=message):
    check_schedule("real_ratio", schedule, 0.0, 1.0)


@pytest.mark.parametrize(
  ("name", "changes", "message"),
  [
    ("sac", {"capacity": 4}, "capacity=4 is smaller than a batch, agent.batch_size=8"),
    (
      "mbpo",
      {"rollout_batch_size": 13},
      "rollout_batch_size=13 must be a multiple of world_model.elites=2",
    ),
    ("mbpo", {"real_ratio_schedule": (0, 1, 5, 15)}, r"real_ratio_schedule=\(0, 1, 5, 15\)"),
    (
      "mbpo",
      {"world_model": dataclasses.replace(WORLD, elites=4)},
      "world_model.elites=4 must lie between",
    ),
    ("mopac", {"samples": 0}, "samples=0 must be positive"),
    ("sac", {"agent": dataclasses.replace(AGENT, discount=1.5)}, "agent.discount=1.5 must lie"),
  ],
)
def test_invalid_configs_are_rejected(name, changes, message):
  spec = make_env("pendulum").spec
  with pytest.raises(ValueError, match=message):
    make_algorithm(name, spec, dataclasses.replace(CONFIGS[name], **changes))


@whole
def test_demorl_stores_planned_transitions_and_loop_does_not():
  _, _, history = train("demorl", 4)
  sizes = [int(state.learn.planned.size) for state, _ in history]
  # two elites times a horizon of two per environment step, once the model is fitted
  assert sizes == [0, 0, 40, 80]
  planned = history[-1][0].learn.planned.data
  assert np.isfinite(planned.reward[:80]).all() and np.abs(planned.action[:80]).max() <= 2.0
  _, _, history = train("loop", 4)
  assert int(history[-1][0].learn.planned.size) == 0


@whole
@pytest.mark.parametrize("name", ["demorl", "loop"])
def test_no_planning_before_the_model_is_fitted(name):
  """The last of 13 uniform actions is in the second call of ten steps."""
  env = make_env("pendulum", episode_length=15)
  algorithm = make_algorithm(name, env.spec, dataclasses.replace(CONFIGS[name], init_steps=13))
  state = init_state(algorithm, env, jax.random.key(0))
  step, random, sizes = make_step(algorithm, env, steps=10), [], []
  for _ in range(3):
    state, metrics = step(state)
    random.extend(np.asarray(metrics["info"]["random"]).tolist())
    sizes.append(int(state.learn.planned.size))
  assert random == [1.0] * 20 + [0.0] * 10
  assert sizes == ([0, 0, 40] if name == "demorl" else [0, 0, 0])


@whole
def test_the_first_fit_is_never_skipped():
  """The model is fitted once before its rollouts, also with ``fit_until=0``."""
  env = make_env("pendulum", episode_length=15)
  config = dataclasses.replace(CONFIGS["mbpo"], fit_until=0)
  algorithm = make_algorithm("mbpo", env.spec, config)
  state, epochs = init_state(algorithm, env, jax.random.key(0)), []
  step = make_step(algorithm, env, steps=10)
  for _ in range(3):
    state, metrics = step(state)
    epochs.append(int(metrics["update"]["fit_epochs"]))
  assert epochs[0] == epochs[2] == 0 < epochs[1] and state.learn.model.size > 0


@whole
@pytest.mark.parametrize(("name", "plans"), [("demorl", False), ("loop", True)])
def test_evaluations_of_loop_plan_and_those_of_demorl_do_not(name, plans):
  env, algorithm, history = train(name, 3)
  params, carry = algorithm.deploy(algorithm.params(history[-1][0]))
  obs = env.reset(jax.random.key(0)).obs
  action, after, info = jax.jit(algorithm.act)(params, carry, obs, jax.random.key(1))
  assert (float(info["value"]) != 0) == plans
  assert moved(carry.plan, after.plan) == plans and np.isfinite(action).all()
