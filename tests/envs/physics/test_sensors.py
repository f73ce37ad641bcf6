"""Tests that sensors are evaluated at the state itself, and the lookup of their names."""

import chex
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs.physics.backends import make_physics
from mbrl_jax.envs.physics.sensors import (
  find_sensors,
  list_sensors,
  sensor_addresses,
  sensor_dims,
)

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
def test_sensors_belong_to_the_state_itself(sensors):
  """With and without accelerations, constraints and actuation, which need a full step."""
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


NAMED = """
<mujoco><worldbody>
    <body><joint name="hinge"/><geom size=".1"/><site name="tip"/></body></worldbody>
  <sensor><framepos name="tip" objtype="site" objname="tip"/><clock/>
    <jointvel name="speed" joint="hinge"/></sensor></mujoco>"""


def test_sensors_are_found_by_name_with_their_addresses():
  model = mujoco.MjModel.from_xml_string(NAMED)
  assert list_sensors(model) == ["tip", "", "speed"]
  ids = find_sensors(model, ["speed", "tip"])
  assert ids == (2, 0) and sensor_dims(model, ids) == [1, 3]
  np.testing.assert_array_equal(sensor_addresses(model, ids), [4, 0, 1, 2])
  assert sensor_addresses(model, ()).shape == (0,)


def test_an_unknown_sensor_error_names_the_closest():
  model = mujoco.MjModel.from_xml_string(NAMED)
  with pytest.raises(ValueError, match=r"sensor='sped'.*Did you mean 'speed'"):
    find_sensors(model, ["sped"])
