"""Randomises ROBEL's tasks as their variants with random dynamics do.

Each reset draws one of several models, made beforehand: joint damping, friction loss, gains
of the servos, friction of all contacts, and where it applies the total mass, the bumps of the
ground and where the hand hangs. Besides, the sensors are off, evenly within a twentieth of what
they measure at most.

Deviations: ROBEL draws a new model at every reset. Pictures show the ground flat, whichever is
in force.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import mujoco
import numpy as np

from mbrl_jax.envs.robotics.terrain import draw_bumps
from mbrl_jax.envs.task import Task
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, Key

Range = tuple[float, float]

_LOSS = (0.001, 0.005)  # Nm
_FRICTION = (0.8, 0.003, 5e-5), (1.2, 0.007, 15e-5)  # slide, spin, roll
_NOISE = 0.05  # of a range


class Ranges(NamedTuple):
  """What is drawn, evenly, besides what all tasks have in common.

  Attributes:
    damping: of the joints, Nm s/rad.
    gain: of all servos, Nm/rad.
    alike: all joints are given the same damping and friction loss.
    mass: of everything, kg; ``None``: as it is.
    offset: how far the body ``mount`` is off along each axis, metres.
  """

  damping: Range
  gain: Range
  alike: bool = False
  mass: Range | None = None
  offset: float = 0.0


def with_random_dynamics(
  task: Task, ranges: Ranges, joints: slice, span: Any, models: int
) -> Task:
  """Returns the task with another model at each reset, and sensors that are off.

  Args:
    task: as it is with its one model.
    ranges: what is drawn.
    joints: the degrees of freedom that are given another damping and friction loss.
    span: what each number of an observation may range over ``[O]``; 0 where it is exact.
    models: how many are made; the same ones each time.

  Raises:
    ValueError: ``models`` is not positive.
  """
  validate.positive(models=models)
  widths = np.float32(_NOISE * np.asarray(span))

  def noise(key: Key, obs: Array) -> Array:
    return obs + widths * jax.random.uniform(key, obs.shape, minval=-0.5, maxval=0.5)

  drawn = list(draw(task.model, ranges, joints, models))
  return dataclasses.replace(task.vary(drawn), noise=noise)


def draw(
  model: mujoco.MjModel, ranges: Ranges, joints: slice, models: int
) -> Iterator[mujoco.MjModel]:
  """Yields ``models`` randomised copies of ``model``, with bumps if it has a height field.

  Args:
    model: it is not changed.
    ranges: what is drawn.
    joints: the degrees of freedom that are given another damping and friction loss.
    models: how many.
  """
  rng = np.random.default_rng(0)  # the same models in each process, so that runs can be resumed
  size = 1 if ranges.alike else len(range(*joints.indices(model.nv)))
  for _ in range(models):
    one = copy.copy(model)
    one.dof_damping[joints] = rng.uniform(*ranges.damping, size)
    one.dof_frictionloss[joints] = rng.uniform(*_LOSS, size)
    gain = rng.uniform(*ranges.gain)
    one.actuator_gainprm[:, 0], one.actuator_biasprm[:, 1] = gain, -gain
    one.geom_friction[:] = rng.uniform(*_FRICTION)
    if ranges.offset:
      one.body("mount").pos += rng.uniform(-ranges.offset, ranges.offset, 3)
    if ranges.mass is not None:
      factor = rng.uniform(*ranges.mass) / one.body_mass.sum()
      one.body_mass[:] *= factor
      one.body_inertia[:] *= factor
    if one.nhfield:
      draw_bumps(one, rng)
    mujoco.mj_setConst(one, mujoco.MjData(one))
    yield one
