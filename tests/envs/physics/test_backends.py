"""Tests both backends against a loop of ``mj_step`` and against each other."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.physics.backends import make_physics, resolve_backend
from mbrl_jax.envs.physics.base import PhysicsState

STEPS = 100
STARTS = np.float32(
  [
    [[0.0, 0.0], [0.0, 0.0]],
    [[0.5, 3.0], [-1.0, 2.0]],
    [[-1.5, 1.0], [0.5, -6.0]],
    [[2.45, -2.0], [2.0, 0.0]],  # runs into the end of the rail
  ]
)

BOX = """
<mujoco><option timestep="0.005"/>
  <worldbody><geom type="plane" size="5 5 .1"/>
    <body pos="0 0 .3"><freejoint/><geom type="box" size=".1 .05 .07"/></body>
  </worldbody>
</mujoco>"""

FILTERED_MOTOR = """
<mujoco><option timestep="0.01"/>
  <worldbody>
    <body><joint name="push" type="slide" axis="1 0 0" damping=".1"/><geom size=".1"/></body>
  </worldbody>
  <actuator><general joint="push" dyntype="filter" dynprm=".2" gainprm="10"/></actuator>
</mujoco>"""


@pytest.fixture(scope="module")
def cartpole():
  return make_env("cartpole", "mujoco")


@pytest.fixture(scope="module")
def controls():
  return np.random.default_rng(0).uniform(-3, 3, (len(STARTS), STEPS, 1)).astype(np.float32)


def rollout(physics, start, ctrl):
  def body(state, u):
    state = physics.step(state, u)
    return state, (state.qpos, state.qvel)

  return jax.lax.scan(body, physics.init(start[0], start[1]), ctrl)[1]


def reference(model, qpos, qvel, ctrl, substeps):
  """Returns the states of a loop of ``mj_step``."""
  data = mujoco.MjData(model)
  data.qpos, data.qvel = qpos, qvel
  trace = []
  for u in ctrl:
    data.ctrl = u
    for _ in range(substeps):
      mujoco.mj_step(model, data)
    trace.append(np.concatenate([data.qpos, data.qvel]))
  return np.array(trace)


def test_mujoco_equals_a_plain_loop_of_mj_step(cartpole, controls):
  got = jax.jit(jax.vmap(lambda s, u: rollout(cartpole.physics, s, u)))(STARTS, controls)
  got = np.concatenate(got, -1)
  for i, start in enumerate(STARTS):
    want = reference(cartpole.model, *start, controls[i], 2)
    np.testing.assert_array_equal(got[i], want.astype(np.float32))


@pytest.mark.parametrize("xml", [BOX, FILTERED_MOTOR])
def test_mujoco_carries_contacts_quaternions_and_activations(xml):
  model = mujoco.MjModel.from_xml_string(xml)
  physics = make_physics(model, 4, "mujoco")
  qpos, qvel = np.float32(model.qpos0), np.full(model.nv, 0.25, np.float32)
  ctrl = np.random.default_rng(1).normal(size=(50, model.nu)).astype(np.float32)

  def body(state, u):
    state = physics.step(state, u)
    return state, jnp.concatenate([state.qpos, state.qvel])

  got = jax.jit(lambda: jax.lax.scan(body, physics.init(qpos, qvel), ctrl)[1])()
  np.testing.assert_array_equal(got, np.float32(reference(model, qpos, qvel, ctrl, 4)))


def test_mjx_carries_activations():
  model = mujoco.MjModel.from_xml_string(FILTERED_MOTOR)
  ctrl = np.random.default_rng(1).normal(size=(20, 1)).astype(np.float32)
  start = np.zeros((2, 1), np.float32)
  got = jax.jit(lambda: rollout(make_physics(model, 2, "mjx"), start, ctrl))()
  want = reference(model, *start, ctrl, 2)
  np.testing.assert_allclose(np.concatenate(got, -1), want, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def mjx_step(cartpole):
  """Compiles once for all tests: RK4 in MJX compiles for many seconds."""
  physics = make_physics(cartpole.model, 2, "mjx")
  step = jax.jit(physics.step)
  return physics.init, step.lower(physics.init(*STARTS[0]), np.zeros(1, np.float32)).compile()


@pytest.mark.slow
@pytest.mark.parametrize("i", range(len(STARTS)))
def test_mjx_follows_mujoco_on_cartpole(cartpole, mjx_step, controls, i):
  want = reference(cartpole.model, *STARTS[i], controls[i], 2)
  init, step = mjx_step
  state, trace = init(*STARTS[i]), []
  for u in controls[i]:
    state = step(state, u)
    trace.append(np.concatenate([state.qpos, state.qvel]))
  np.testing.assert_allclose(trace[0], want[0], rtol=1e-5, atol=1e-5)
  # float32 against float64 over 4 s; 5e-5 was measured
  np.testing.assert_allclose(trace, want, atol=5e-4)


@pytest.mark.slow
def test_mjx_propagates_nan(mjx_step):
  init, step = mjx_step
  state = step(init(*STARTS[0]), np.full(1, np.nan, np.float32))
  assert np.isnan(state.qpos).all()
  assert np.isnan(step(state, np.zeros(1, np.float32)).qvel).all()


def test_jit_equals_eager_and_vmap_equals_a_loop(cartpole):
  physics, count = cartpole.physics, 5
  rng = np.random.default_rng(2)
  starts = rng.normal(size=(count, 2, 2)).astype(np.float32)
  ctrl = rng.normal(size=(count, 1)).astype(np.float32)

  def two_steps(start, u):
    return physics.step(physics.step(physics.init(*start), u), -u)

  looped = [two_steps(s, u) for s, u in zip(starts, ctrl, strict=True)]
  looped = jax.tree.map(lambda *x: np.stack(x), *looped)
  for batched in (
    jax.vmap(two_steps)(starts, ctrl),
    jax.jit(jax.vmap(two_steps))(starts, ctrl),
  ):
    jax.tree.map(np.testing.assert_array_equal, batched, looped)


def test_nested_vmap_over_actions_only(cartpole):
  physics = cartpole.physics
  state = physics.init(*STARTS[1])
  ctrl = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4, 1)
  step = jax.vmap(jax.vmap(physics.step, (None, 0)), (None, 0))
  got = jax.jit(step)(state, ctrl)
  assert got.qpos.shape == (3, 4, 2)
  one = physics.step(state, ctrl[2, 1])
  np.testing.assert_array_equal(got.qvel[2, 1], one.qvel)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12])
def test_invalid_rows_give_nan_and_do_not_affect_others(cartpole, bad):
  physics = cartpole.physics
  starts, ctrl = np.zeros((4, 2, 2), np.float32), np.ones((4, 1), np.float32)
  clean = jax.vmap(lambda s, u: physics.step(physics.init(*s), u))(starts, ctrl)
  starts[1, 0, 0], starts[2, 1, 1], ctrl[3, 0] = bad, bad, bad
  got = jax.jit(jax.vmap(lambda s, u: physics.step(physics.init(*s), u)))(starts, ctrl)
  assert np.isnan(got.qpos[1:]).all() and np.isnan(got.qvel[1:]).all()
  np.testing.assert_array_equal(got.qpos[0], clean.qpos[0])


def test_divergence_gives_nan_and_writes_no_log(cartpole, tmp_path, monkeypatch, capfd):
  monkeypatch.chdir(tmp_path)
  starts = np.zeros((64, 2, 2), np.float32)
  starts[::2, 1] = 1e9  # finite, but the integrator overflows
  step = jax.jit(jax.vmap(lambda s: cartpole.physics.step(s, np.zeros(1, np.float32))))
  state = jax.vmap(lambda s: cartpole.physics.init(*s))(starts)
  for _ in range(3):
    state = step(state)
  assert np.isnan(state.qpos[::2]).all()
  assert np.isfinite(state.qpos[1::2]).all()
  assert not list(tmp_path.iterdir())
  assert "WARNING" not in capfd.readouterr().err


def test_auto_is_the_c_engine_on_cpu():
  if jax.default_backend() == "cpu":
    assert resolve_backend("auto") == "mujoco"
  assert resolve_backend("mjx") == "mjx"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [((2, "mjxx"), "mjxx.*mjx"), ((0, "mjx"), "substeps"), ((2, "auto"), "backend")],
)
def test_make_physics_rejects(cartpole, arguments, message):
  with pytest.raises(ValueError, match=message):
    make_physics(cartpole.model, *arguments)


def test_init_keeps_positions_and_velocities(cartpole):
  state = cartpole.physics.init(*STARTS[1])
  assert isinstance(state, PhysicsState)
  np.testing.assert_array_equal(state.qpos, STARTS[1, 0])
  np.testing.assert_array_equal(state.qvel, STARTS[1, 1])
