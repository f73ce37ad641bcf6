"""Tests tasks that draw one of several models at each reset."""

import copy
import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mjcf_models import arm, cart

from mbrl_jax.envs import make_env, make_mjcf, make_physics
from mbrl_jax.envs.models.randomise import draw_models, vary_task
from mbrl_jax.envs.task import make_task
from mbrl_jax.ops.key_stream import stream_key

COUNT = 3
ARM_COST = {"tip": 1.0, "shake": 0.01}


def arm_models(count=COUNT):
  return draw_models(
    arm(), jax.random.key(0), count, {"masses": (0.5, 2.0), "damping": (0.1, 9.0)}
  )


def trajectory(physics, ctrl, variant=None):
  """Returns positions, velocities and sensors under ``ctrl [T, nu]``."""
  chosen = {} if variant is None else {"variant": variant}
  start = physics.init(np.float32([0.3, -0.2]), np.float32([0.5, 1.0]), **chosen)

  def body(state, u):
    state = physics.step(state, u)
    return state, (state.qpos, state.qvel, state.data.act, state.sensors)

  return start.sensors, jax.lax.scan(body, start, ctrl)[1]


def check_each_equals_its_model(backend, compare, models, sensors):
  ctrl = np.random.default_rng(0).uniform(-1, 1, (30, 2)).astype(np.float32)
  physics = make_physics(models, 2, backend, sensors)
  assert physics.variants == len(models)
  order = np.int32([len(models) - 1, 0, 1, 0])
  got = jax.jit(jax.vmap(lambda i: trajectory(physics, ctrl, i)))(order)
  for i, model in enumerate(models):
    alone = make_physics(model, 2, backend, sensors)
    want = jax.jit(lambda alone=alone: trajectory(alone, ctrl))()
    for row in np.flatnonzero(order == i):
      jax.tree.map(lambda g, w, row=row: compare(g[row], w), got, want)
  assert np.abs(got[1][1][0, -1] - got[1][1][1, -1]).max() > 0.1, "the models do not differ"


def test_each_variant_in_c_equals_its_model_bit_for_bit():
  check_each_equals_its_model("mujoco", np.testing.assert_array_equal, arm_models(), (0, 2))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_variant_on_mjx_equals_its_model():
  compare = lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
  check_each_equals_its_model(
    "mjx", compare, arm_models(2), (0,)
  )  # every model compiles once more


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mjx_stacks_only_fields_that_differ():
  from mbrl_jax.envs.physics.mjx_models import mjx_model, stack_models, take_model

  models = arm_models()
  stack, axes = stack_models(models)
  assert stack.body_mass.shape == (COUNT, 3) and axes.body_mass == 0
  assert stack.geom_size.ndim == 2 and axes.geom_size is None
  for i, model in enumerate(models):
    jax.tree.map(np.testing.assert_array_equal, take_model(stack, axes, i), mjx_model(model))


def test_a_list_of_one_model_equals_the_model():
  physics, ctrl = make_physics([arm()], 2, "mujoco"), np.zeros((5, 2), np.float32)
  want = trajectory(make_physics(arm(), 2, "mujoco"), ctrl)
  jax.tree.map(np.testing.assert_array_equal, trajectory(physics, ctrl), want)
  assert physics.variants == 1 and physics.init(np.zeros(2), np.zeros(2)).variant == ()


def test_an_index_out_of_range_is_clipped():
  physics = make_physics(arm_models(), 2, "mujoco")
  states = [physics.init(np.zeros(2), np.zeros(2), variant=i) for i in (-4, 99)]
  assert [int(state.variant) for state in states] == [0, COUNT - 1]


def test_each_reset_draws_a_model_and_keeps_it():
  env = make_env("cartpole", randomise={"count": 4, "masses": (0.5, 2.0)})
  traces = []

  def episode(key):
    traces.append(None)
    state = env.reset(key)
    start = state.physics.variant
    body = lambda state, _: (env.step(state, jnp.ones(1), key)[0], None)
    return start, jax.lax.scan(body, state, None, length=5)[0]

  run = jax.jit(jax.vmap(episode))
  start, state = run(jax.random.split(jax.random.key(0), 400))
  np.testing.assert_array_equal(start, state.physics.variant)
  assert state.physics.variant.dtype == jnp.int32
  counts = np.bincount(start)
  assert counts.size == 4 and counts.min() > 60, "each of four models, about as often"
  run(jax.random.split(jax.random.key(1), 400))
  assert len(traces) == 1


@pytest.mark.optimised
def test_a_randomised_task_equals_the_task_on_each_model():
  settings = {"count": 3, "seed": 5, "masses": (0.5, 2.0), "gains": (0.5, 2.0)}
  env, plain = make_env("hopper", randomise=settings), make_env("hopper")
  ranges = {name: settings[name] for name in ("masses", "gains")}
  models = draw_models(plain.model, stream_key("models", 5), 3, ranges)
  assert len({model.body_mass[1] for model in models}) == 3
  actions = jax.random.uniform(jax.random.key(9), (20, 3), minval=-1.0)

  def run(env, state):
    body = lambda state, action: env.step(state, action, jax.random.key(0))
    return jax.lax.scan(body, state, actions)[1]

  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 12))
  got = jax.jit(jax.vmap(lambda state: run(env, state)))(states)
  for i, model in enumerate(models):
    row = int(np.flatnonzero(states.physics.variant == i)[0])
    state = jax.tree.map(lambda x, row=row: x[row], states)
    state = state._replace(physics=state.physics._replace(variant=()))
    want = jax.jit(functools.partial(run, plain.vary([model])))(state)
    jax.tree.map(lambda g, w, row=row: np.testing.assert_array_equal(g[row], w), got, want)


def test_make_task_takes_variants():
  models = [cart(mass) for mass in (1.0, 2.0, 4.0)]
  speed = lambda obs, action, next_obs: next_obs[1]
  env = make_task(
    "cart",
    models[0],
    "mujoco",
    dt=0.01,
    episode_length=10,
    reward=speed,
    initial=lambda key: (jnp.zeros(1), jnp.zeros(1)),
    observe=lambda state: jnp.concatenate([state.qpos, state.qvel]),
    variants=models,
  )
  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 20))
  step = jax.vmap(lambda state: env.step(state, jnp.full(1, 3.0), jax.random.key(0))[1].reward)
  mass = np.float32([1.0, 2.0, 4.0])[states.physics.variant]
  np.testing.assert_allclose(step(states), 0.01 * 3.0 / mass, rtol=1e-6)
  assert len(np.unique(mass)) == 3


def test_an_mjcf_task_can_be_randomised():
  from mjcf_models import ARM

  env = make_mjcf(ARM, cost=ARM_COST, physics="mujoco")
  varied = vary_task(env, {"count": 2, "friction": (0.5, 1.0)})
  state, key = varied.reset(jax.random.key(0)), jax.random.key(1)
  transition = varied.step(state, jnp.zeros(2), key)[1]
  assert varied.physics.variants == 2 and np.isfinite(transition.reward)


def other(**changes):
  model = copy.copy(arm())
  for name, value in changes.items():
    owner = model.opt if name == "timestep" else model
    setattr(owner, name, value)
  return model


@pytest.mark.parametrize(
  ("models", "message"),
  [
    ([], r"variants=\[\] contains no model"),
    ([arm(), "arm"], r"variants\[1\] must be a mujoco.MjModel, got str"),
    ([arm(), cart()], r"variants\[1\] and variants\[0\].*differ in nq: 1 and 2"),
    ([arm(), other(timestep=0.02)], r"differ in opt.timestep: 0.02 and 0.01"),
    ([arm(), other(geom_type=[2, 2])], r"differ in geom_type"),
  ],
)
def test_make_physics_rejects(models, message):
  with pytest.raises(ValueError, match=message):
    make_physics(models, 2, "mujoco")


def test_mocap_bodies_must_have_the_same_pose():
  body = "<body mocap='true' pos='{} 0 0'><geom size='.1'/></body>"
  xml = f"<mujoco><worldbody>{body}</worldbody></mujoco>"
  models = [mujoco.MjModel.from_xml_string(xml.format(x)) for x in (0, 1)]
  with pytest.raises(ValueError, match="body_pos of mocap bodies"):
    make_physics(models, 1, "mujoco")


def test_mjx_names_static_fields_that_differ():
  with pytest.raises(ValueError, match=r"variants\[1\].*geom_condim; use physics='mujoco'"):
    make_physics([arm(), other(geom_condim=[1, 1])], 2, "mjx")


@pytest.mark.parametrize(
  ("name", "settings", "message"),
  [
    ("cartpole", {"mases": (0.5, 2.0)}, r"randomise.mases is not known.*Did you mean 'masses'"),
    ("cartpole", {"count": 4}, "no range was given; give one of masses"),
    ("cartpole", {"count": 0, "masses": (1, 2)}, "randomise.count=0 must be positive"),
    (
      "cartpole",
      {"count": 2.5, "masses": (1, 2)},
      "randomise.count=2.5 must be a whole number",
    ),
    ("cartpole", {"masses": "heavy"}, r"masses='heavy' must be factors"),
    ("cartpole", {"masses": (2.0, 1.0)}, r"masses=\[2.0, 1.0\] must be factors"),
    ("cartpole", (0.5, 2.0), r"randomise=\(0.5, 2.0\) must be a mapping"),
    ("pendulum", {"masses": (0.5, 2.0)}, "'pendulum' has no MuJoCo model"),
  ],
)
def test_make_env_rejects(name, settings, message):
  with pytest.raises(ValueError, match=message):
    make_env(name, randomise=settings)
