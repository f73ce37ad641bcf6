"""Small models for tests of MJX dynamics, randomisation and MJCF tasks."""

import jax
import mujoco
import numpy as np

ARM = """
<mujoco model="arm">
  <option timestep="0.01" gravity="0 0 -9.81"/>
  <worldbody>
    <body name="upper" pos="0 0 1">
      <joint name="shoulder" axis="0 1 0" damping="0.2"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.04" mass="1"/>
      <body name="lower" pos="0 0 -0.5">
        <joint name="elbow" axis="0 1 0" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.03" mass="0.5"/>
        <site name="tip" pos="0 0 -0.4"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="lift" joint="shoulder" ctrlrange="-2 2" gear="3"/>
    <general name="bend" joint="elbow" ctrlrange="-1 1" dyntype="filter" dynprm="0.1"
      gainprm="2"/>
  </actuator>
  <sensor>
    <framepos name="tip" objtype="site" objname="tip"/>
    <jointvel name="speed" joint="elbow"/>
    <accelerometer name="shake" site="tip"/>
    <actuatorfrc name="effort" actuator="lift"/>
    <clock name="clock"/>
  </sensor>
  <keyframe>
    <key name="up" qpos="3 0.2" qvel="0.1 0" act="0.3"/>
  </keyframe>
</mujoco>"""
"""Two links without contacts or limits, one motor with a filter."""

CART = """
<mujoco model="cart">
  <option timestep="0.01" gravity="0 0 0"/>
  <worldbody>
    <body><joint name="slide" type="slide" axis="1 0 0" range="-1 1" limited="{limited}"/>
      <geom name="box" type="box" size=".1 .1 .1" mass="{mass}"/></body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-5 5"/></actuator>
</mujoco>"""
"""A mass on a rail."""


def arm():
  return mujoco.MjModel.from_xml_string(ARM)


def cart(mass=2.0, limited=False):
  return mujoco.MjModel.from_xml_string(CART.format(mass=mass, limited=str(limited).lower()))


def c_rollout(model, qpos, qvel, controls, act=0.0):
  """Returns the states ``[T, nq + nv]`` of a loop of ``mj_step``."""
  data = mujoco.MjData(model)
  data.qpos, data.qvel, data.act = qpos, qvel, act
  trace = []
  for ctrl in controls:
    data.ctrl = ctrl
    mujoco.mj_step(model, data)
    trace.append(np.concatenate([data.qpos, data.qvel]))
  return np.array(trace)


def follow(dynamics, params, state, controls):
  """Returns the final state, all states ``[T, nq + nv]`` and rewards for given controls."""

  def body(state, ctrl):
    state, reward, _ = dynamics.step(params, state, ctrl, ())
    return state, (jax.numpy.concatenate([state.qpos, state.qvel]), reward)

  return jax.lax.scan(body, state, controls)
