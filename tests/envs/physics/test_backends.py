"""Both physics against MuJoCo C itself, and against each other."""

import os
import subprocess
import sys

import chex
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

LAZY_MOTOR = """
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
  """A plain loop over ``mj_step``."""
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


@pytest.mark.parametrize("xml", [BOX, LAZY_MOTOR])
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
  model = mujoco.MjModel.from_xml_string(LAZY_MOTOR)
  ctrl = np.random.default_rng(1).normal(size=(20, 1)).astype(np.float32)
  start = np.zeros((2, 1), np.float32)
  got = jax.jit(lambda: rollout(make_physics(model, 2, "mjx"), start, ctrl))()
  want = reference(model, *start, ctrl, 2)
  np.testing.assert_allclose(np.concatenate(got, -1), want, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def mjx_step(cartpole):
  """One compilation for all tests: RK4 in MJX compiles for many seconds."""
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
def test_mjx_shows_nan(mjx_step):
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


def test_accelerators_get_the_same_numbers_by_pure_callback(cartpole, monkeypatch):
  state = cartpole.physics.init(*STARTS[1])
  want = cartpole.physics.step(state, np.float32([1.0]))
  monkeypatch.setattr(jax.lax, "platform_dependent", lambda *x, cpu, default: default(*x))
  got = cartpole.physics.step(state, np.float32([1.0]))
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e12])
def test_unusable_numbers_give_nan_and_leave_the_rest_of_the_batch_alone(cartpole, bad):
  physics = cartpole.physics
  starts, ctrl = np.zeros((4, 2, 2), np.float32), np.ones((4, 1), np.float32)
  clean = jax.vmap(lambda s, u: physics.step(physics.init(*s), u))(starts, ctrl)
  starts[1, 0, 0], starts[2, 1, 1], ctrl[3, 0] = bad, bad, bad
  got = jax.jit(jax.vmap(lambda s, u: physics.step(physics.init(*s), u)))(starts, ctrl)
  assert np.isnan(got.qpos[1:]).all() and np.isnan(got.qvel[1:]).all()
  np.testing.assert_array_equal(got.qpos[0], clean.qpos[0])


def test_divergence_shows_and_writes_no_log(cartpole, tmp_path, monkeypatch, capfd):
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


BATCHES = """
import hashlib, jax, numpy as np
from jax.sharding import Mesh, PartitionSpec
from mbrl_jax.envs import make_env
env = make_env("cartpole", "mujoco")
def episode(key, steps):
  def body(state, key):
    action = jax.random.uniform(key, (1,), minval=-3.0, maxval=3.0)
    state, transition = env.step(state, action, key)
    return state, transition.reward
  return jax.lax.scan(body, env.reset(key), jax.random.split(key, steps))
digest = hashlib.sha256()
for batch, steps in ((1, 200), (64, 50), (1024, 20), (16384, 2)):
  keys = jax.random.split(jax.random.key(batch), batch)
  state, rewards = jax.jit(jax.vmap(lambda key: episode(key, steps)))(keys)
  for leaf in jax.tree.leaves((state, rewards)):
    digest.update(np.asarray(leaf).tobytes())
mesh, rows = Mesh(np.array(jax.devices()), ("rows",)), PartitionSpec("rows")
shards = jax.shard_map(
  jax.vmap(lambda key: episode(key, steps)),
  mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False,
)
np.testing.assert_array_equal(np.asarray(jax.jit(shards)(keys)[1]), np.asarray(rewards))
print(digest.hexdigest())
"""


def start_batches(devices):
  flags = f"--xla_force_host_platform_device_count={devices}"
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
  return subprocess.Popen([sys.executable, "-c", BATCHES], env=environment, **pipes)


@pytest.mark.slow
def test_no_batch_hangs_and_processes_agree_bit_for_bit():
  """Two processes at once, on one and two XLA devices; a dead-lock runs out of time."""
  digests, processes = [], [start_batches(devices) for devices in (1, 2)]
  try:
    for process in processes:
      out, err = process.communicate(timeout=150)
      assert process.returncode == 0, err
      digests.append(out.split()[-1])
  finally:
    for process in processes:
      process.kill()
  assert digests[0] == digests[1]


def test_auto_is_the_c_engine_on_cpu():
  if jax.default_backend() == "cpu":
    assert resolve_backend("auto") == "mujoco"
  assert resolve_backend("mjx") == "mjx"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [((2, "mjxx"), "mjxx.*mjx"), ((0, "mjx"), "substeps"), ((2, "auto"), "backend")],
)
def test_make_physics_refuses(cartpole, arguments, message):
  with pytest.raises(ValueError, match=message):
    make_physics(cartpole.model, *arguments)


def test_state_is_what_init_was_given(cartpole):
  state = cartpole.physics.init(*STARTS[1])
  assert isinstance(state, PhysicsState)
  np.testing.assert_array_equal(state.qpos, STARTS[1, 0])
  np.testing.assert_array_equal(state.qvel, STARTS[1, 1])


SENSING = """
<mujoco><option timestep="0.005" integrator="RK4"/>
  <worldbody><geom type="plane" size="5 5 .1"/>
    <body name="ball" pos="0 0 .3"><freejoint/><geom size=".1"/><site name="skin" size=".11"/>
      <body pos=".2 0 0"><joint name="hinge" axis="0 1 0" range="-2 2"
        limited="true" stiffness="3" damping="1"/><geom size=".05"/></body></body>
  </worldbody>
  <actuator><motor name="motor" joint="hinge" gear="5"/></actuator>
  <sensor><framepos objtype="body" objname="ball"/><subtreelinvel body="ball"/>
    <jointvel joint="hinge"/><accelerometer site="skin"/><touch site="skin"/>
    <actuatorpos actuator="motor"/>
    <actuatorvel actuator="motor"/><jointlimitpos joint="hinge"/></sensor>
</mujoco>"""


@pytest.mark.parametrize("sensors", [(0, 1, 2), (0, 3, 4), (1, 5, 6, 7)])
def test_sensors_are_those_of_the_state_itself(sensors):
  """With and without accelerations, constraints and actuation, which cost a whole step."""
  model = mujoco.MjModel.from_xml_string(SENSING)
  physics, data = make_physics(model, 3, "mujoco", sensors), mujoco.MjData(model)
  ctrl = np.random.default_rng(2).normal(size=(40, 4, 1)).astype(np.float32)
  step, alone = jax.jit(jax.vmap(physics.step)), jax.jit(physics.step)
  start = jax.vmap(lambda x: physics.init(model.qpos0, jnp.full(7, 8 * x)))
  state = start(np.linspace(-0.5, 0.5, 4, dtype=np.float32))
  for u in ctrl:
    single = alone(jax.tree.map(lambda x: x[1], state), u[1])
    state = step(state, u)
    chex.assert_trees_all_equal(single, jax.tree.map(lambda x: x[1], state))
    for row in range(4):
      data.qpos, data.qvel = state.qpos[row], state.qvel[row]
      data.ctrl, data.qacc_warmstart = u[row], 0
      mujoco.mj_forward(model, data)
      spans = [model.sensor(i).adr[0] + np.arange(model.sensor(i).dim[0]) for i in sensors]
      want = data.sensordata[np.concatenate(spans)]
      np.testing.assert_allclose(state.sensors[row], want, rtol=1e-3, atol=1e-3)
