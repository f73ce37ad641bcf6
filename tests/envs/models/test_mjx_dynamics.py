"""Tests dynamics from MuJoCo models: accuracy, returns, gradients and compilation."""

import copy

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mjcf_models import ARM, arm, c_rollout, cart, follow

from mbrl_jax.envs import env_dynamics, make_env, make_mjcf, mjx_dynamics, mjx_model, mjx_state
from mbrl_jax.envs.physics.mjx_models import import_mjx
from mbrl_jax.planners import cem, make_evaluate, make_planner
from mbrl_jax.types import Dynamics

pytestmark = pytest.mark.timeout(120)
COST = {"tip": (1.0, (0.0, 0.0, 1.9)), "speed": 0.1}


def speed_up(obs, action, next_obs):
  """Rewards the change of the observation and charges the action."""
  return jnp.sum(next_obs - obs) - 0.1 * jnp.sum(action**2)


def test_steps_equal_mujoco():
  model = arm()
  controls = np.random.default_rng(0).uniform(-1, 1, (100, 2)).astype(np.float32)
  dynamics = mjx_dynamics(model, reward=speed_up)
  state = mjx_state(model, [0.3, -0.2], [1.0, 0.5], [0.4])
  got = jax.jit(lambda: follow(dynamics, mjx_model(model), state, controls)[1][0])()
  want = c_rollout(model, [0.3, -0.2], [1.0, 0.5], controls, 0.4)
  np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.slow
def test_substeps_equal_steps():
  model, hold = cart(), np.full((3, 1), 0.7, np.float32)
  state, params = mjx_state(model, [0.3], [-0.2]), mjx_model(model)
  fine = follow(mjx_dynamics(model, reward=speed_up), params, state, hold)[0]
  coarse = follow(mjx_dynamics(model, reward=speed_up, substeps=3), params, state, hold[:1])[0]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), fine, coarse)
  np.testing.assert_allclose(coarse.data.time, 0.03, rtol=1e-6)


def test_another_mass_does_not_recompile():
  model, traces = cart(), []

  def reward(obs, action, next_obs):
    traces.append(None)
    return next_obs[1] - obs[1]

  step = jax.jit(mjx_dynamics(model, reward=reward).step)
  params, state, force = mjx_model(model), mjx_state(model), np.ones(1, np.float32)
  for factor in (1.0, 2.0, 5.0):
    mass = np.float32(factor) * params.body_mass
    gain = step(params.replace(body_mass=mass), state, force, ())[1]
    np.testing.assert_allclose(gain, 0.01 / (2.0 * factor), rtol=1e-5)
  assert len(traces) == 1


@pytest.mark.slow
def test_planning_reproduces_the_return_of_the_environment():
  task = make_mjcf(ARM, cost=COST, control_cost=0.01, keyframe="up", physics="mujoco")
  dynamics = mjx_dynamics(
    task.model, reward=task.spec.reward, observe=task.observe, substeps=2, sensors=list(COST)
  )
  key = jax.random.key(0)
  plans = jax.random.uniform(key, (3, 20, 2), minval=-1.0, maxval=1.0)
  start = now = task.reset(key)
  total = 0.0
  for action in plans[1]:
    now, transition = task.step(now, action, key)
    total += transition.reward
  state = mjx_state(task.model, start.physics.qpos, start.physics.qvel, start.physics.data.act)
  planned = jax.jit(make_evaluate(dynamics))(mjx_model(task.model), state, plans, key)
  exact = make_evaluate(env_dynamics(task))(None, start, plans, key)
  np.testing.assert_allclose(exact[1], total, rtol=1e-5)
  np.testing.assert_allclose(planned, exact, rtol=1e-4)


@pytest.mark.slow  # RK4 and limits: compiles for a quarter of a minute
def test_planning_reproduces_the_return_of_cartpole():
  env = make_env("cartpole", "mujoco")
  dynamics = mjx_dynamics(env.model, reward=env.spec.reward, observe=env.observe, substeps=2)
  start = env.reset(jax.random.key(1))
  plans = jax.random.uniform(jax.random.key(2), (2, 25, 1), minval=-3.0, maxval=3.0)
  exact = jax.jit(make_evaluate(env_dynamics(env)))(None, start, plans, jax.random.key(0))
  state = mjx_state(env.model, start.physics.qpos, start.physics.qvel)
  evaluate = jax.jit(make_evaluate(dynamics))
  planned = evaluate(mjx_model(env.model), state, plans, jax.random.key(0))
  np.testing.assert_allclose(planned, exact, rtol=1e-4)


def test_mjx_state_accepts_data_or_arrays():
  model, mjx = arm(), import_mjx()
  data = mujoco.MjData(model)
  data.qpos, data.qvel, data.act, data.time = [0.1, 0.2], [0.3, 0.4], [0.5], 2.0
  state = mjx_state(model, data)
  kept = copy.deepcopy(jax.tree.map(np.asarray, state))
  mujoco.mj_step(model, data)  # changes the arrays of data in place
  jax.tree.map(np.testing.assert_array_equal, state, kept)
  same = mjx_state(model, mjx.put_data(model, data))
  jax.tree.map(np.testing.assert_array_equal, same, mjx_state(model, data))
  arrays = mjx_state(model, [0.1, 0.2], [0.3, 0.4], [0.5])
  np.testing.assert_array_equal(arrays.qvel, state.qvel)
  assert jax.tree.map(jnp.shape, arrays) == jax.tree.map(jnp.shape, state)
  np.testing.assert_array_equal(mjx_state(mjx_model(model)).qpos, model.qpos0)


@pytest.mark.slow
def test_gradients_equal_the_closed_form():
  """By the plan, and by the mass, as in system identification."""
  model, steps, dt = cart(mass=2.0), 5, 0.01
  dynamics = mjx_dynamics(model, reward=lambda obs, action, next_obs: next_obs[0] - obs[0])
  state, params = mjx_state(model), mjx_model(model)

  def moved(plan, mass):
    evaluate = make_evaluate(dynamics)
    params_ = params.replace(body_mass=mass)
    return evaluate(params_, state, plan, jax.random.key(0))[0]

  plan = jnp.full((1, steps, 1), 3.0)
  by_plan, by_mass = jax.jit(jax.grad(moved, (0, 1)))(plan, params.body_mass)
  # x = sum_t (T - t) dt^2 F_t / m
  left = steps - np.arange(steps)
  np.testing.assert_allclose(by_plan[0, :, 0], left * dt**2 / 2.0, rtol=1e-4)
  np.testing.assert_allclose(by_mass[1], -left.sum() * dt**2 * 3.0 / 2.0**2, rtol=1e-4)


def into_the_limit(iterations):
  """Returns the sum of positions of a cart at the end of its rail, as a function of force."""
  model = cart(limited=True)
  model.opt.iterations, model.opt.ls_iterations = iterations, 6
  dynamics = mjx_dynamics(model, reward=lambda obs, action, next_obs: next_obs[0])
  state, params = mjx_state(model, [0.995], [2.0]), mjx_model(model)
  return lambda force: follow(dynamics, params, state, jnp.full((4, 1), force))[1][1].sum()


@pytest.mark.slow
def test_reverse_mode_needs_a_single_solver_iteration():
  with pytest.raises(ValueError, match="Reverse-mode"):
    jax.eval_shape(jax.grad(into_the_limit(100)), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("differentiate", [jax.grad, jax.jacfwd])
def test_gradients_through_limits_equal_finite_differences(differentiate):
  value = into_the_limit(1 if differentiate is jax.grad else 100)
  slope = jax.jit(differentiate(value))(1.0)
  value = jax.jit(value)
  np.testing.assert_allclose(slope, (value(1.5) - value(0.5)), rtol=2e-2)
  assert slope != 0


def test_an_unconstrained_model_needs_no_lapack():
  """XLA can dead-lock in batched LAPACK calls on CPUs, see envs/physics/mjx.py."""
  if jax.default_backend() != "cpu":
    pytest.skip("MJX factorises dense matrices on accelerators")
  model, plans = cart(), jnp.zeros((8, 3, 1))
  evaluate = make_evaluate(mjx_dynamics(model, reward=speed_up))
  arguments = mjx_model(model), mjx_state(model), plans, jax.random.key(0)
  assert "lapack" not in jax.jit(evaluate).lower(*arguments).as_text()


@pytest.mark.slow
def test_a_large_batch_with_limits_terminates():
  model = cart(limited=True)
  evaluate = jax.jit(make_evaluate(mjx_dynamics(model, reward=lambda o, a, n: -(n[0] ** 2))))
  plans = jax.random.uniform(jax.random.key(0), (4096, 3, 1), minval=-5.0, maxval=5.0)
  state = mjx_state(model, [0.999], [1.0])
  returns = evaluate(mjx_model(model), state, plans, jax.random.key(0))
  assert np.isfinite(returns).all() and len(np.unique(returns)) > 1000


def test_a_user_function_needs_three_lines():
  """As in the documentation: ``f(state, action)`` and ``cost(state, action)``."""
  f = lambda state, action: state + 0.1 * action
  cost = lambda state, action: jnp.sum((state - 1.0) ** 2) + 0.01 * jnp.sum(action**2)

  def step(params, state, action, key):
    return f(state, action), -cost(state, action), jnp.zeros((), bool)

  planner = make_planner(
    cem(samples=64, elites=8),
    make_evaluate(Dynamics(step)),
    horizon=10,
    action_low=[-1.0],
    action_high=[1.0],
    iterations=3,
  )
  output, _ = jax.jit(planner.plan)(None, jnp.zeros(1), planner.init(), jax.random.key(0))
  assert output.action > 0.5


def test_an_mjx_model_is_accepted():
  model = import_mjx().put_model(cart(), impl="jax")
  dynamics = mjx_dynamics(model, reward=speed_up)
  assert mjx_model(model) is model
  next_state, _, terminated = jax.jit(dynamics.step)(model, mjx_state(model), jnp.ones(1), ())
  np.testing.assert_allclose(next_state.qvel, 0.005, rtol=1e-5)
  assert not terminated


TWO_BALLS = """<mujoco><worldbody>
  <geom type="hfield" hfield="hills"/>
  <body><freejoint/><geom type="cylinder" size=".1 .1"/></body>
  <body pos="1 0 0"><freejoint/><geom type="ellipsoid" size=".1 .2 .3"/></body>
  </worldbody><asset><hfield name="hills" nrow="3" ncol="3" size="1 1 1 1"/></asset></mujoco>"""


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: mjx_dynamics(arm(), reward=speed_up, substeps=0), "substeps=0 must be positive"),
    (lambda: mjx_dynamics(arm(), reward=speed_up, slices=0), "slices=0 must be positive"),
    (
      lambda: mjx_dynamics(arm(), reward=speed_up, sensors=["typ"]),
      "sensor='typ'.*Did you mean 'tip'.*'shake'",
    ),
    (lambda: mjx_dynamics(cart(), reward=speed_up, sensors=["a"]), "no named sensor"),
    (lambda: mjx_model("arm.xml"), "mujoco.MjModel or an mjx.Model.*got str"),
    (lambda: mjx_state(arm(), [0.0]), r"qpos must have shape \[2\].*\(1,\)"),
    (lambda: mjx_state(arm(), [0.0, 0.0], [1.0]), r"qvel must have shape \[2\]"),
    (lambda: mjx_state(arm(), act=[1.0, 2.0]), r"act must have shape \[1\]"),
    (
      lambda: mjx_model(mujoco.MjModel.from_xml_string(TWO_BALLS)),
      r"MJX cannot simulate.*collisions not implemented.*physics='mujoco'",
    ),
  ],
)
def test_rejects_invalid_arguments(call, message):
  with pytest.raises(ValueError, match=message):
    call()
