"""Sets the tasks in which MBMF's agents follow a path of way-points.

``swimmer_follow`` and ``ant_follow`` follow it over the ground, ``halfcheetah_follow`` along x.
Option ``path`` names it: ``"straight"``; for swimmer and ant ``"left_turn"`` and
``"right_turn"`` (up along y first, then to the right); for the ant ``"u_turn"``; for the
half-cheetah ``"backward"`` and ``"forward_backward"``. Observation: that of ``swimmer``
``[16]``, ``ant_mbmf`` ``[35]`` or ``halfcheetah_mbmf`` ``[24]``, and behind it:

====== ================================================== ==========
offset quantity                                           unit
====== ================================================== ==========
0      segment of the path that counts, from 0            1
1 2    where the path starts: the centre of mass after    m
       the reset, in the plane of the path
3      only as released: 1 where a prediction has         1
       reached a new segment, else 0
====== ================================================== ==========

Actions and control steps are those of these tasks, an episode has 1000 steps. The reward is the
negative cost of being off the path, of progress and of the posture, see ``waypoints``, with
the weights in ``paths``. The ant's episodes terminate as in ``ant_mbmf``.

Option ``reset``, see ``rllab``: ``"mpc"``, by default, where the swimmer heads along the path's
first segment (0 or pi / 2); ``"data"``, where it heads anywhere and is bent and off by 0.5
(standard deviation). Learned models are given the body alone and predict it alone.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), published code.

Deviations: see ``waypoints``; ``as_released=True`` computes progress and segments as published
and ends an episode in its seventh segment. The simulator moves on to the next segment where the
body itself reaches it; the published code where the prediction of the chosen plan does. The
published environments go on rewarding forward velocity; here the environment's reward is what
the planner's is.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Task, never
from mbrl_jax.envs.tasks.mbmf import (
  ant_mbmf,
  halfcheetah_mbmf,
  paths,
  rllab,
  swimmer,
  waypoints,
)
from mbrl_jax.envs.tasks.mbmf.path_following import Walker, make_follow
from mbrl_jax.envs.tasks.mbmf.waypoints import Path
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, Key


def make_swimmer_follow(
  physics: str = "auto",
  *,
  path: str = "straight",
  reset: str = "mpc",
  as_released: bool = False,
) -> Task:
  """Builds the swimmer's task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    path: ``"straight"``, ``"left_turn"`` or ``"right_turn"``.
    reset: ``"mpc"`` or ``"data"``, how an episode starts.
    as_released: see above.

  Raises:
    ValueError: another path, reset or physics.
  """
  way = _choose(paths.SWIMMER, path)
  initial = _swimmer_initial(reset, way.heading)
  return make_follow(_SWIMMER, way, initial, physics, as_released)


def make_ant_follow(
  physics: str = "auto",
  *,
  path: str = "straight",
  reset: str = "mpc",
  as_released: bool = False,
) -> Task:
  """Builds the ant's task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    path: ``"straight"``, ``"left_turn"``, ``"right_turn"`` or ``"u_turn"``.
    reset: ``"mpc"`` or ``"data"``, how an episode starts.
    as_released: see above.

  Raises:
    ValueError: another path, reset or physics.
  """
  way = _choose(paths.ANT, path)
  return make_follow(_ANT, way, ant_mbmf.make_initial(reset), physics, as_released)


def make_halfcheetah_follow(
  physics: str = "auto",
  *,
  path: str = "straight",
  reset: str = "mpc",
  as_released: bool = False,
) -> Task:
  """Builds the half-cheetah's task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    path: ``"straight"``, ``"backward"`` or ``"forward_backward"``.
    reset: ``"mpc"`` or ``"data"``, how an episode starts.
    as_released: see above.

  Raises:
    ValueError: another path, reset or physics.
  """
  way = _choose(paths.HALFCHEETAH, path)
  return make_follow(
    _HALFCHEETAH, way, halfcheetah_mbmf.make_initial(reset), physics, as_released
  )


def _choose(known: Mapping[str, Path], path: str) -> Path:
  return known[validate.choice("path", path, sorted(known))]


def _swimmer_initial(reset: str, heading: float) -> Initial:
  if reset != "data":
    return swimmer.make_initial(reset, heading)
  draw = rllab.make_initial(reset, np.zeros(5), 5, spread=0.5)

  def initial(key: Key) -> tuple[Array, Array]:
    key, heading_key = jax.random.split(key)
    qpos, qvel = draw(key)
    heading = jax.random.uniform(heading_key, minval=-jnp.pi, maxval=jnp.pi)
    return qpos.at[swimmer.HEADING].set(heading), qvel

  return initial


def _swimmer_cost(path: Path, segment: Array, body: Array, off: Array, gain: Array) -> Array:
  error = waypoints.heading_error(path.points, segment, body[swimmer.HEADING])
  return waypoints.swimmer_cost(path.weights, off, gain, error, body[3:5])


def _ant_cost(path: Path, segment: Array, body: Array, off: Array, gain: Array) -> Array:
  del segment
  return waypoints.ant_cost(path.weights, off, gain, body[31])


def _cheetah_cost(path: Path, segment: Array, body: Array, off: Array, gain: Array) -> Array:
  del segment
  return waypoints.halfcheetah_cost(path.weights, off, gain, body[6:9])


_SWIMMER = Walker(
  name="swimmer_follow",
  load=swimmer.load,
  dt=swimmer.DT,
  observe=swimmer.observe,
  size=16,
  plane=(0, 1),
  level=0.0,
  cost=_swimmer_cost,
  terminated=never,
)
_ANT = Walker(
  name="ant_follow",
  load=ant_mbmf.load,
  dt=ant_mbmf.DT,
  observe=ant_mbmf.observe,
  size=35,
  plane=(0, 1),
  level=0.02,
  cost=_ant_cost,
  terminated=ant_mbmf.terminated,
  encode=ant_mbmf.rllab_observation,
)
_HALFCHEETAH = Walker(
  name="halfcheetah_follow",
  load=halfcheetah_mbmf.load,
  dt=halfcheetah_mbmf.DT,
  observe=halfcheetah_mbmf.observe,
  size=24,
  plane=(0, 2),
  level=0.0,
  cost=_cheetah_cost,
  terminated=never,
)
