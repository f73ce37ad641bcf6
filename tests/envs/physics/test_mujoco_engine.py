"""Tests batches on the C engine: bit-identical to ``mj_step``, independent of earlier calls."""

import gc
import threading

import chex
import jax
import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from mbrl_jax.envs import make_physics
from mbrl_jax.envs.physics.mujoco_engine import Engine, join, split

LEGS = """
<mujoco><option timestep="0.005" {option}/>
  <worldbody><geom type="plane" size="5 5 .1"/>
    <body name="hand" mocap="true" pos="0 .4 .6"><geom size=".05"/></body>
    <body name="torso" pos="0 0 .4"><freejoint/><geom size=".1"/>
      <body pos=".2 0 0"><joint name="hip" axis="0 1 0" range="-40 40" damping="1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -.3" size=".04"/></body>
      <body pos="-.2 0 0"><joint name="knee" axis="0 1 0" stiffness="3" springyield=".2"/>
        <geom type="capsule" fromto="0 0 0 0 0 -.3" size=".04"/></body></body>
  </worldbody>
  <actuator><motor joint="hip" gear="9" {motor}/>
    <general joint="knee" dyntype="filter" dynprm=".1" gainprm="9"/></actuator>
  <sensor><framepos objtype="body" objname="torso"/><subtreelinvel body="torso"/>
    <jointlimitpos joint="hip"/><accelerometer site="skin"/></sensor>
  <keyframe><key name="start" mpos="0 .3 .5" mquat="0 1 0 0"/></keyframe>
</mujoco>""".replace('<geom size=".1"/>', '<geom size=".1"/><site name="skin"/>')
PLAIN = {"option": "", "motor": ""}
KINDS = [
  PLAIN,
  {"option": 'integrator="RK4" solver="CG" iterations="3"', "motor": ""},
  {"option": 'integrator="implicitfast" solver="PGS"', "motor": 'delay=".02" nsample="6"'},
]
STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART


def make_model(**kind):
  return mujoco.MjModel.from_xml_string(LEGS.format(**{**PLAIN, **kind}))


def exact(state):
  """Returns the float64 numbers of a state, in MuJoCo's order."""
  parts = state.data.time[..., None], state.qpos, state.qvel, state.data.act, state.data.rest
  rounded = np.concatenate([np.asarray(part) for part in parts], -1)
  numbers = np.empty(rounded.shape)
  join(rounded, np.asarray(state.data.ulps), numbers)
  return numbers


def starts_of(physics, model, count):
  """Returns initial states; the first three are the same for every count."""
  speeds = np.random.default_rng(0).uniform(-3, 3, (200, model.nv)).astype(np.float32)[:count]
  return jax.vmap(lambda qvel: physics.init(model.qpos0, qvel))(speeds)


def commands(count, steps=30):
  return np.random.default_rng(1).uniform(-1, 1, (steps, 200, 2)).astype(np.float32)[:, :count]


@pytest.mark.parametrize("sensors", [(), (0, 1), (0, 2), (0, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_mj_step_bit_for_bit_at_any_batch_size(kind, sensors):
  """With contacts, limits, plastic springs, activations and delays; for 1, 3 and 150 rows."""
  model = make_model(**kind)
  physics, ends = make_physics(model, 3, "mujoco", sensors), []
  step = jax.jit(jax.vmap(physics.step))
  for count in (3, 150):
    state = starts_of(physics, model, count)
    ends.append([state := step(state, ctrl) for ctrl in commands(count)])
  first, data = starts_of(physics, model, 1), mujoco.MjData(model)
  data.qpos, data.qvel = first.qpos[0], first.qvel[0]
  alone, touched = jax.tree.map(lambda x: x[0], first), 0
  for few, many, ctrl in zip(*ends, commands(1), strict=True):
    alone = physics.step(alone, ctrl[0])
    chex.assert_trees_all_equal(alone, jax.tree.map(lambda x: x[0], few))
    chex.assert_trees_all_equal(few, jax.tree.map(lambda x: x[:3], many))
    data.ctrl = ctrl[0]
    mujoco.mj_step(model, data, 3)
    want = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, want, STATE)
    np.testing.assert_array_equal(exact(alone), want)
    touched += data.ncon
  assert touched > 10


def test_results_do_not_depend_on_earlier_calls():
  model = make_model()
  used, fresh = (make_physics(model, 2, "mujoco", (0, 1)) for _ in range(2))
  step = jax.jit(jax.vmap(used.step))
  state, ctrl = starts_of(used, model, 4), commands(4)[0]
  other = jax.tree.map(lambda x: x[::-1], state)
  once, elsewhere = step(state, ctrl), step(other, -ctrl)
  step(once, ctrl)  # continues from the engine's last state; the next call does not
  chex.assert_trees_all_equal(step(state, ctrl), once)
  chex.assert_trees_all_equal(step(other, -ctrl), elsewhere)
  chex.assert_trees_all_equal(jax.vmap(fresh.step)(once, ctrl), step(once, ctrl))


@pytest.mark.parametrize("count", [4, 150])
def test_rows_can_change_models_between_steps(count):
  models = [make_model() for _ in range(3)]
  for i, model in enumerate(models):
    model.body_mass[2:] *= 1 + i
  physics = make_physics(models, 2, "mujoco", (0, 1))
  step, speeds = jax.jit(jax.vmap(physics.step)), np.ones((count, 8), np.float32)
  start = jax.vmap(lambda v, i: physics.init(models[0].qpos0, v, variant=i))
  for order in ([0, 1, 2, 1], [2, 2, 0, 1], [0, 1, 2, 1]):
    variants = np.resize(order, count)
    state = start(speeds, variants)
    for ctrl in commands(count, 5):
      state = step(state, ctrl)
    for row in range(4):
      alone = physics.init(models[0].qpos0, speeds[0], variant=variants[row])
      for ctrl in commands(count, 5):
        alone = physics.step(alone, ctrl[row])
      chex.assert_trees_all_equal(alone, jax.tree.map(lambda x, row=row: x[row], state))
  assert len(np.unique(state.qpos[:3, 0])) == 3


def test_a_keyframe_poses_mocap_bodies_in_every_row():
  model = make_model()
  hand = '<framepos objtype="body" objname="hand"/></sensor>'
  seen = mujoco.MjModel.from_xml_string(LEGS.format(**PLAIN).replace("</sensor>", hand))
  physics = make_physics(seen, 2, "mujoco", (model.nsensor,), keyframe=0)
  for count in (1, 3, 70):
    state = starts_of(physics, model, count)
    np.testing.assert_array_equal(state.sensors, np.float32([[0, 0.3, 0.5]] * count))
    state = jax.vmap(physics.step)(state, commands(count)[0])
    np.testing.assert_array_equal(state.sensors, np.float32([[0, 0.3, 0.5]] * count))


def test_an_edited_position_keeps_ulps_below_float32_precision():
  physics = make_physics(make_model(), 2, "mujoco")
  state = starts_of(physics, make_model(), 1)
  for ctrl in commands(1, 3):
    state = jax.vmap(physics.step)(state, ctrl)
  moved = state._replace(qpos=state.qpos.at[:, 2].set(1.5))
  assert state.data.ulps[0, 3] != 0
  np.testing.assert_allclose(exact(moved)[0, 3], 1.5, rtol=6e-8)


def test_join_inverts_split():
  rng, count = np.random.default_rng(0), 100_000
  size = 10.0 ** rng.uniform(-37.5, 38, count)
  numbers = np.concatenate([size * rng.choice([-1, 1], count), [0.0, -0.0, np.inf, -np.inf]])
  rounded, ulps = np.empty(numbers.size, np.float32), np.empty(numbers.size, np.int32)
  together = np.empty(numbers.size)
  split(numbers, rounded, ulps)
  join(rounded, ulps, together)
  np.testing.assert_array_equal(together.view(np.int64), numbers.view(np.int64))
  np.testing.assert_array_equal(rounded, numbers.astype(np.float32))


@pytest.mark.parametrize("tiny", [1e-300, -1e-300, 3e-42, -3e-42, 1.1e-38, 5e-324])
def test_numbers_below_the_float32_range_stay_small(tiny):
  rounded, ulps, together = np.empty(1, np.float32), np.empty(1, np.int32), np.empty(1)
  split(np.array([tiny]), rounded, ulps)
  join(rounded, ulps, together)
  assert abs(together[0] - tiny) <= 1e-45 and np.isfinite(together[0])


def test_old_batches_are_dropped():
  batches = lambda: sum(isinstance(x, Batch) for x in gc.get_objects())
  gc.collect()
  before, engine = batches(), Engine([make_model()], (0,))
  start = np.concatenate(
    [engine.initial.view(np.int32), np.zeros(2, np.int32), engine.initial_ulps]
  )
  results = [engine.step(1, np.tile(start, (count, 1)))[0] for count in (*range(1, 12), 3)]
  assert batches() - before <= 4
  np.testing.assert_array_equal(results[-1], results[2])


def test_concurrent_threads_do_not_interfere():
  model = make_model()
  physics, found = make_physics(model, 2, "mujoco", (0, 1)), {}
  start = starts_of(physics, model, 5)
  run = jax.jit(
    lambda s, u: jax.lax.scan(lambda s, u: (jax.vmap(physics.step)(s, u), ()), s, u)[0]
  )

  def work(sign):
    found[sign] = jax.block_until_ready(run(start, sign * commands(5, 100)))

  threads = [threading.Thread(target=work, args=(sign,)) for sign in (1, -1)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for sign, got in found.items():
    chex.assert_trees_all_equal(got, run(start, sign * commands(5, 100)))


def test_sleep_is_off_and_ipc_is_rejected():
  sleepy = make_model(option="><flag sleep='enable'/></option><option")
  physics, awake = (make_physics(m, 4, "mujoco") for m in (sleepy, make_model()))
  state, other = (p.init(sleepy.qpos0, np.zeros(8)) for p in (physics, awake))
  for _ in range(60):
    state, other = physics.step(state, np.zeros(2)), awake.step(other, np.zeros(2))
  chex.assert_trees_all_equal(state, other)
  model = make_model()
  model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_IPC
  with pytest.raises(ValueError, match=r"ipc='enable'.*in no state"):
    make_physics(model, 1, "mujoco")
