"""Tests the C engine: all sensor types, samples and delays, keyframes."""

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_mjcf, make_physics
from mbrl_jax.envs.physics.mujoco_engine import join

FRAME = 'objtype="body" objname="lower" reftype="body" refname="upper"'
SENSORS = f"""
  <touch site="skin"/><accelerometer site="tip"/><velocimeter site="tip"/><gyro site="tip"/>
  <force site="tip"/><torque site="tip"/><magnetometer site="tip"/><rangefinder site="tip"/>
  <camprojection site="tip" camera="eye"/><jointpos joint="a"/><jointvel joint="a"/>
  <tendonpos tendon="cord"/><tendonvel tendon="cord"/><actuatorpos actuator="m"/>
  <actuatorvel actuator="m"/><actuatorfrc actuator="m"/><jointactuatorfrc joint="a"/>
  <tendonactuatorfrc tendon="cord"/><ballquat joint="ball"/><ballangvel joint="ball"/>
  <jointlimitpos joint="b"/><jointlimitvel joint="b"/><jointlimitfrc joint="b"/>
  <tendonlimitpos tendon="cord"/><tendonlimitvel tendon="cord"/><tendonlimitfrc tendon="cord"/>
  <framepos {FRAME}/><framequat {FRAME}/><framexaxis {FRAME}/><frameyaxis {FRAME}/>
  <framezaxis {FRAME}/><framelinvel {FRAME}/><frameangvel {FRAME}/>
  <framelinacc objtype="body" objname="lower"/><frameangacc objtype="body" objname="lower"/>
  <subtreecom body="upper"/><subtreelinvel body="upper"/><subtreeangmom body="upper"/>
  <insidesite objtype="body" objname="drop" site="skin"/><distance geom1="arm" geom2="drop"
  cutoff="9"/><normal geom1="arm" geom2="drop" cutoff="9"/><fromto geom1="arm" geom2="drop"
  cutoff="9"/><contact geom1="drop" data="found force dist pos normal"/>
  <contact geom1="drop" data="found dist"/><contact geom1="drop" data="pos linvel"/>
  <e_potential/><e_kinetic/><clock/>"""

EVERYTHING = f"""
<mujoco><option timestep="0.005" magnetic="1 2 3"/>
  <worldbody><geom type="plane" size="5 5 .1"/><camera name="eye" pos="0 -2 1"/>
    <site name="hook" pos=".3 .1 .9"/>
    <body name="upper" pos="0 0 1"><joint name="a" axis="0 1 0" stiffness="3"/>
      <geom name="arm" type="capsule" fromto="0 0 0 0 0 -.3" size=".03" mass="1"/>
      <body name="lower" pos="0 0 -.3"><joint name="b" axis="0 1 0" range="-20 20"
        damping=".1"/><geom type="capsule" fromto="0 0 0 0 0 -.3" size=".02" mass=".5"/>
        <site name="tip" pos="0 0 -.3"/></body></body>
    <body name="drop" pos="1 0 .095"><freejoint/><geom name="drop" size=".1" mass="1"/>
      <site name="skin" size=".3"/></body>
    <body pos="-1 0 1"><joint name="ball" type="ball"/><geom size=".1" pos=".1 0 0"/></body>
  </worldbody>
  <tendon><spatial name="cord" range="0 .3" limited="true" stiffness="5">
    <site site="hook"/><site site="tip"/></spatial></tendon>
  <actuator><motor name="m" joint="a" gear="2"/><motor tendon="cord"/></actuator>
  <sensor>{SENSORS}</sensor>
</mujoco>"""

SAMPLED = """
<mujoco><option timestep="{step}"/><worldbody><body>
    <joint name="h" axis="0 1 0" damping=".1"/>
    <geom type="capsule" fromto="0 0 0 0 0 -.4" size=".03" mass="1"/></body></worldbody>
  <actuator><motor joint="h" ctrlrange="-1 1" {motor}/></actuator>
  <sensor><jointpos name="q" joint="h" {sensor}/></sensor></mujoco>"""


def mujoco_sensors(model, data):
  """Returns the sensors of ``mj_forward`` at the state of ``data``."""
  whole = mujoco.mjtState.mjSTATE_INTEGRATION
  state, other = np.empty(mujoco.mj_stateSize(model, whole)), mujoco.MjData(model)
  mujoco.mj_getState(model, data, state, whole)
  mujoco.mj_setState(model, other, state, whole)
  mujoco.mj_forward(model, other)
  return np.array(other.sensordata)


def exact(state):
  """Returns the float64 numbers of a state: time, qpos, qvel, act and the rest."""
  parts = state.data.time[..., None], state.qpos, state.qvel, state.data.act, state.data.rest
  rounded = np.concatenate([np.asarray(part) for part in parts], -1)
  numbers = np.empty(rounded.shape)
  join(rounded, np.asarray(state.data.ulps), numbers)
  return numbers


KINDS = mujoco.MjModel.from_xml_string(EVERYTHING).sensor_type


@pytest.mark.parametrize("sensor", range(len(KINDS)))
def test_a_single_sensor_equals_mujoco(sensor):
  """For one row and a batch, after the reset and after a step."""
  model = mujoco.MjModel.from_xml_string(EVERYTHING)
  physics, data = make_physics(model, 2, "mujoco", (sensor,)), mujoco.MjData(model)
  qpos, qvel = np.float32(model.qpos0), np.linspace(1, -1, model.nv, dtype=np.float32)
  qpos[:2] = 0.4, -0.5
  ctrl = np.float32([0.7, -0.3])
  start = physics.init(qpos, qvel)
  alone = physics.step(start, ctrl)
  rows = jax.vmap(physics.step, (None, 0))(start, np.stack([ctrl, -ctrl]))
  span = slice(model.sensor_adr[sensor], model.sensor_adr[sensor] + model.sensor_dim[sensor])
  for state, ctrl_used in ((start, 0 * ctrl), (alone, ctrl), (rows, ctrl)):
    state = jax.tree.map(lambda x: x[0], state) if state is rows else state
    data.qpos, data.qvel, data.time = state.qpos, state.qvel, state.data.time
    data.ctrl, data.qacc_warmstart = ctrl_used, 0
    mujoco.mj_forward(model, data)
    want = data.sensordata[span]
    np.testing.assert_allclose(state.sensors, want, rtol=1e-3, atol=1e-4)
  assert np.abs(want).max() > 0


def test_kinetic_energy_is_that_of_the_state_with_the_energy_flag():
  xml = EVERYTHING.replace("<worldbody>", '<option><flag energy="enable"/></option><worldbody>')
  model = mujoco.MjModel.from_xml_string(xml)
  plain = mujoco.MjModel.from_xml_string(EVERYTHING)
  sensor = (KINDS.tolist().index(int(mujoco.mjtSensor.mjSENS_E_KINETIC)),)
  physics, other = (make_physics(m, 2, "mujoco", sensor) for m in (model, plain))
  qvel = np.linspace(1, -1, model.nv, dtype=np.float32)
  state, want = (p.init(np.float32(model.qpos0), qvel) for p in (physics, other))
  for _ in range(3):
    np.testing.assert_array_equal(state.sensors, want.sensors)
    state, want = physics.step(state, np.ones(2)), other.step(want, np.ones(2))


def test_all_sensor_types_are_tested():
  names = {"TACTILE", "PLUGIN", "USER"}  # no simple one; made by plugins and call backs
  left = {int(getattr(mujoco.mjtSensor, f"mjSENS_{name}")) for name in names}
  every = {int(value) for name, value in mujoco.mjtSensor.__members__.items()}
  assert every - set(KINDS.tolist()) == left


@pytest.mark.parametrize(
  ("step", "motor", "sensor"),
  [
    (1 / 128, "", 'interval=".0625" nsample="2"'),
    (0.005, "", 'interval=".04" nsample="2"'),
    (0.005, "", 'interval=".03 -.01" nsample="3" delay=".01"'),
    (0.005, 'delay=".015" nsample="4"', 'nsample="2"'),
    (0.0023, 'delay=".01" nsample="9" interp="linear"', 'interval=".0171" nsample="2"'),
  ],
)
def test_samples_and_delays_equal_a_loop_of_mj_step(step, motor, sensor):
  """An inexact time would delay a sample by one simulation step."""
  model = mujoco.MjModel.from_xml_string(SAMPLED.format(step=step, motor=motor, sensor=sensor))
  physics, data = make_physics(model, 4, "mujoco", (0,)), mujoco.MjData(model)
  rng = np.random.default_rng(0)
  advance, state = jax.jit(physics.step), physics.init(np.zeros(1), np.zeros(1))
  batch = jax.tree.map(lambda x: jnp.stack([x, x]), state)
  together = jax.jit(jax.vmap(physics.step))
  for _ in range(40):
    ctrl = rng.uniform(-1, 1, 1).astype(np.float32)
    state, batch = advance(state, ctrl), together(batch, np.stack([ctrl, -ctrl]))
    chex.assert_trees_all_equal(state, jax.tree.map(lambda x: x[0], batch))
    data.ctrl = ctrl
    mujoco.mj_step(model, data, 4)
    np.testing.assert_array_equal(state.qpos, np.float32(data.qpos))
    np.testing.assert_array_equal(state.sensors, np.float32(mujoco_sensors(model, data)))
  assert exact(state)[0] == data.time


KEYED = """
<mujoco><option timestep="0.01"/><worldbody>
    <body name="hand" mocap="true" pos="1 2 3"/>
    <body><joint name="h" axis="0 1 0" stiffness="30" springyield=".1"/>
      <geom size=".1" pos="0 0 -.3"/></body></worldbody>
  <actuator><general name="m" joint="h" dyntype="filter" dynprm=".1" ctrlrange="-1 1"
    forcerange="-1 1"/><motor name="n" joint="h" ctrlrange="-1 1"/></actuator>
  <sensor><clock name="t"/><actuatorfrc name="f" actuator="n"/>
    <framepos name="p" objtype="body" objname="hand"/>
    <framequat name="r" objtype="body" objname="hand"/></sensor>
  <keyframe><key name="start" time="1.5" qpos=".2" qvel=".3" act=".4" ctrl=".5 .6"
    mpos="7 8 9" mquat="0 1 0 0" plastic=".05"/></keyframe></mujoco>"""


def test_a_keyframe_is_restored_completely():
  cost = dict.fromkeys("tfpr", 1.0)
  task = make_mjcf(KEYED, cost=cost, keyframe="start", physics="mujoco", dt=0.02)
  model = mujoco.MjModel.from_xml_string(KEYED)
  data = mujoco.MjData(model)
  mujoco.mj_resetDataKeyframe(model, data, 0)
  state, key = task.reset(jax.random.key(0)), jax.random.key(1)
  for ctrl_used in (data.ctrl.copy(), np.float32([-0.2, 0.1])):
    seen = mujoco_sensors(model, data)
    want = np.concatenate([data.qpos, data.qvel, data.act, seen])
    np.testing.assert_allclose(state.obs, want, rtol=1e-6, err_msg=str(ctrl_used))
    data.ctrl = np.float32([-0.2, 0.1])
    mujoco.mj_step(model, data, 2)
    state, _ = task.step(state, jnp.float32([-0.2, 0.1]), key)
  assert data.plastic[0] != 0.05, "the spring does not yield"


@pytest.mark.slow
def test_mjx_restores_the_time_activation_and_controls_of_a_keyframe():
  elastic = KEYED.replace('springyield=".1"', "").replace('plastic=".05"', "")
  cost, key = dict.fromkeys("tfpr", 1.0), jax.random.key(0)
  observed = [
    make_mjcf(elastic, cost=cost, keyframe=0, physics=physics).reset(key).obs
    for physics in ("mjx", "mujoco")
  ]
  np.testing.assert_allclose(observed[0], observed[1], rtol=1e-5)
  assert observed[0][3] == 1.5
