"""Path following of MBMF: swimmer, ant and half-cheetah follow way-points.

``swimmer_follow`` and ``ant_follow`` follow a path on the ground, ``halfcheetah_follow`` along
x. Option ``path``: ``"straight"``; for swimmer and ant ``"left_turn"`` and ``"right_turn"``
(first along y, then to the right); for the ant ``"u_turn"``; for the half-cheetah
``"backward"`` and ``"forward_backward"``. Observation: that of ``swimmer`` ``[16]``,
``ant_mbmf`` ``[35]`` or ``halfcheetah_mbmf`` ``[24]``, followed by:

====== ================================================== ==========
offset quantity                                           unit
====== ================================================== ==========
0      active segment of the path, from 0                 1
1 2    start of the path: the centre of mass after the    m
       reset, in the plane of the path
3      only as released: 1 where a prediction has         1
       reached a new segment, else 0
====== ================================================== ==========

Actions and control steps are those of these tasks, an episode has 1000 steps. The reward is the
negative cost of distance, progress and posture, see ``waypoints``, with the weights in
``paths``. The ant's episodes terminate as in ``ant_mbmf``.

Option ``reset``, see ``rllab``: with ``"mpc"``, the default, the swimmer heads along the path's
first segment (0 or pi / 2); with ``"data"`` its heading is uniform and the standard deviation
of its other positions 0.5. Learned models get and predict the body only.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), published code.

Deviations: see ``waypoints``; ``as_released=True`` computes progress and segments as published
and ends an episode in its seventh segment. In the simulator the next segment becomes active
when the body reaches it; in the published code when the prediction of the chosen plan does. The
published environments still reward forward velocity; here the environment has the planner's
reward.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import never
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
from mbrl_jax.types import Array, Key


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
  paths=paths.SWIMMER,
  initial=_swimmer_initial,
  load=swimmer.load,
  dt=swimmer.DT,
  size=16,
  plane=(0, 1),
  level=0.0,
  cost=_swimmer_cost,
  terminated=never,
)
_ANT = Walker(
  name="ant_follow",
  paths=paths.ANT,
  initial=lambda reset, heading: ant_mbmf.make_initial(reset),
  load=ant_mbmf.load,
  dt=ant_mbmf.DT,
  size=35,
  plane=(0, 1),
  level=0.02,
  cost=_ant_cost,
  terminated=ant_mbmf.terminated,
  encode=ant_mbmf.rllab_observation,
)
_HALFCHEETAH = Walker(
  name="halfcheetah_follow",
  paths=paths.HALFCHEETAH,
  initial=lambda reset, heading: halfcheetah_mbmf.make_initial(reset),
  load=halfcheetah_mbmf.load,
  dt=halfcheetah_mbmf.DT,
  size=24,
  plane=(0, 2),
  level=0.0,
  cost=_cheetah_cost,
  terminated=never,
)

make_swimmer_follow = functools.partial(make_follow, _SWIMMER)
make_ant_follow = functools.partial(make_follow, _ANT)
make_halfcheetah_follow = functools.partial(make_follow, _HALFCHEETAH)
