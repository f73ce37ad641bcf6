"""A template for your own task: a model and four functions.

  python -m experiments.check_env --env=experiments/examples/own_task.py:make_crane
  python -m experiments.render    --env=experiments/examples/own_task.py:make_crane
  python -m experiments.plan      --env=experiments/examples/own_task.py:make_crane
  python -m experiments.train     --env=experiments/examples/own_task.py:make_crane

A trolley carries a load on a rod. The load must move to the green mark, 1 m to the right of the
start, and hang still there. Reward and termination are pure functions of
(obs, action, next_obs), which the simulator, a learned model and a robot share: the observation
must contain all that they need. --env.NAME=VALUE sets an argument of `make_crane`.
"""

import jax
import jax.numpy as jnp

from mbrl_jax import load_model, make_task

CRANE = """
<mujoco model="crane">
  <option timestep="0.01"/>
  <visual><headlight ambient=".5 .5 .5"/></visual>
  <asset><texture type="skybox" builtin="flat" rgb1=".9 .9 1" width="8" height="8"/></asset>
  <worldbody>
    <camera pos=".5 -2.6 -.1" xyaxes="1 0 0 0 .1 1"/>
    <geom type="capsule" fromto="-1 0 0 2 0 0" size=".01" contype="0" conaffinity="0"/>
    <site pos="1 0 -.5" size=".08" rgba=".2 .7 .3 .5"/>
    <body name="trolley">
      <joint name="slide" type="slide" axis="1 0 0" damping="2"/>
      <geom type="box" size=".1 .06 .04" mass="1" rgba=".2 .4 .7 1"/>
      <body name="load">
        <joint axis="0 -1 0" damping=".01"/>
        <geom type="capsule" fromto="0 0 0 0 0 -.5" size=".01" mass=".05"/>
        <geom pos="0 0 -.5" size=".06" mass=".5" rgba=".9 .5 .2 1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slide" gear="10" ctrlrange="-1 1"/></actuator>
</mujoco>"""


def initial(key):
  """Draws positions [2] and velocities [2] close to rest."""
  return tuple(0.02 * jax.random.normal(key, (2, 2)))


def observe(physics):
  """Returns [position, angle, their velocities]."""
  return jnp.concatenate([physics.qpos, physics.qvel])


def reward(obs, action, next_obs):
  """Penalises the load's distance from the mark, its speed and the control; 1 at most."""
  position, angle, speed, turning = next_obs
  off = (position + 0.5 * jnp.sin(angle) - 1) ** 2 + (0.5 - 0.5 * jnp.cos(angle)) ** 2
  return jnp.exp(-4 * off) - 0.05 * (speed + 0.5 * turning) ** 2 - 0.01 * action[0] ** 2


def terminated(obs, action, next_obs):
  """Returns whether the trolley has left the rail."""
  return (next_obs[0] < -1) | (next_obs[0] > 2)


def make_crane(physics="auto", dt=0.04):
  """Makes the task."""
  parts = dict(initial=initial, observe=observe, reward=reward, terminated=terminated)
  return make_task("crane", load_model(CRANE), physics, dt=dt, episode_length=100, **parts)
