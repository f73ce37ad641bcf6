"""Tests the bounds of actions: from the model's actuators or given by the task."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_mjcf, make_task

SLED = """
<mujoco><option actuatorgroupdisable="{off}"/><worldbody><body>
    <joint name="s" type="slide" axis="1 0 0" range="-3 4"/><geom size=".1" mass="1"/>
  </body></worldbody><actuator>{actuators}</actuator>
  <sensor><jointpos name="q" joint="s"/></sensor></mujoco>"""


def sled(actuators, off=""):
  return SLED.format(actuators=actuators, off=off)


def task_from_model(xml, **bounds):
  """Makes a task from a model; it rewards the velocity."""
  return make_task(
    "sled",
    mujoco.MjModel.from_xml_string(xml),
    "mujoco",
    dt=0.02,
    episode_length=5,
    reward=lambda obs, action, next_obs: next_obs[1],
    initial=lambda key: (jnp.zeros(1), jnp.zeros(1)),
    observe=lambda state: jnp.concatenate([state.qpos, state.qvel]),
    **bounds,
  )


def task_from_mjcf(xml):
  return make_mjcf(xml, cost={"q": 1.0}, physics="mujoco")


FREE = '<motor name="free" joint="s"/>'
BOUND = '<motor name="bound" joint="s" ctrlrange="-1 1"/>'


@pytest.mark.parametrize("make", [task_from_model, task_from_mjcf])
@pytest.mark.parametrize(
  ("actuators", "message"),
  [
    (FREE + BOUND, "The actuator 'free' has no limits.*ctrlrange='low high'"),
    (FREE + BOUND + FREE.replace("free", "loose"), "actuators 'free', 'loose' have no limits"),
    (FREE.replace('name="free" ', ""), "actuator '0' has no limits"),
    (BOUND.replace("/>", ' ctrllimited="false"/>'), "'bound' has no limits"),
    (BOUND.replace("-1 1", "1 1"), "'bound' has no limits"),
    (BOUND.replace("-1 1", "-inf inf"), "'bound' has no finite limits"),
    (BOUND.replace("-1 1", "-1e300 1e300"), "'bound' has no finite limits"),
    ('<muscle name="arm" joint="s" lengthrange="0 1"/>', "'arm' has no limits"),
    ('<pid name="two" joint="s" input="pos vel" posrange="-1 1"/>', "'two' has no limits"),
    ("", "no actuators"),
    ('<dcmotor joint="s" resistance="1" motorconst="1" input="none"/>', "no actuators with"),
  ],
)
def test_actuators_without_bounds_are_named(make, actuators, message):
  with pytest.raises(ValueError, match=message):
    make(sled(actuators))


@pytest.mark.parametrize("make", [task_from_model, task_from_mjcf])
def test_bounds_are_those_of_the_controls(make):
  servo = '<position joint="s" inheritrange="1"/>'
  two = '<pid joint="s" input="pos vel" posrange="-2 2" velrange="-5 6"/>'
  spec = make(sled(BOUND + servo + two, off="3")).spec
  np.testing.assert_array_equal(spec.action_low, [-1, -3, -2, -5])
  np.testing.assert_array_equal(spec.action_high, [1, 4, 2, 6])
  assert spec.action_low.dtype == np.float32


def test_a_task_can_bound_unlimited_actuators():
  env = task_from_model(sled(FREE), action_low=[-2.0], action_high=[5.0])
  state = env.reset(jax.random.key(0))
  _, transition = env.step(state, jnp.array([9.0]), jax.random.key(0))
  np.testing.assert_allclose(transition.reward, 0.02 * 5.0, rtol=1e-5)  # 5 N on 1 kg


def test_a_command_accepts_any_number_of_actions():
  command = lambda state, action: action[:1] - action[1:]
  env = task_from_model(sled(FREE), action_low=[-1, -1], action_high=[1, 1], command=command)
  _, transition = env.step(
    env.reset(jax.random.key(0)), jnp.array([1.0, -1.0]), jax.random.key(0)
  )
  np.testing.assert_allclose(transition.reward, 0.02 * 2.0, rtol=1e-5)


@pytest.mark.parametrize(
  ("bounds", "message"),
  [
    ({"action_low": [-1, -1], "action_high": [1, 1]}, r"each of 1 controls.*\[2\]"),
    ({"action_low": [1.0], "action_high": [-1.0]}, r"action_low=\[1.0\] must not be above"),
    ({"action_low": [np.nan], "action_high": [1.0]}, "action_low="),
    ({"action_low": [-1.0]}, "'free' has no limits"),
  ],
)
def test_given_bounds_are_checked(bounds, message):
  with pytest.raises(ValueError, match=message):
    task_from_model(sled(FREE), **bounds)
