"""Randomises the dynamics and sensors of ROBEL's tasks.

Each reset draws one of several prepared models: joint damping, friction loss, gains of the
servos, friction of all contacts, and if applicable the total mass, the bumps of the ground and
the position of the hand. Uniform sensor noise, 2.5 % of each sensor's range to either side.

Deviations: ROBEL draws a new model at every reset. Renderings always show flat ground.
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
_NOISE = 0.05  # width of the sensor noise, fraction of the range


class Ranges(NamedTuple):
  """Task-specific ranges of uniformly drawn parameters.

  Attributes:
    damping: damping of the joints, Nm s/rad.
    gain: gain of all servos, Nm/rad.
    alike: all joints have the same damping and friction loss.
    mass: total mass, kg; ``None``: not randomised.
    offset: largest offset of the body ``mount`` along each axis, metres.
  """

  damping: Range
  gain: Range
  alike: bool = False
  mass: Range | None = None
  offset: float = 0.0


def with_random_dynamics(
  task: Task, ranges: Ranges, joints: slice, span: Any, models: int
) -> Task:
  """Returns the task with a random model at each reset and sensor noise.

  Args:
    task: the task with its single model.
    ranges: ranges of the parameters.
    joints: the degrees of freedom whose damping and friction loss are randomised.
    span: range of each observation ``[O]``; 0 where it is exact.
    models: number of models; they are the same each time.

  Raises:
    ValueError: ``models`` is not positive.
  """
  validate.positive(models=models)
  widths = np.float32(_NOISE * np.asarray(span))

  def noise(key: Key, obs: Array) -> Array:
    return obs + widths * jax.random.uniform(key, obs.shape, minval=-0.5, maxval=0.5)

  drawn = list(draw_models(task.model, ranges, joints, models))
  return dataclasses.replace(task.vary(drawn), noise=noise)


def draw_models(
  model: mujoco.MjModel, ranges: Ranges, joints: slice, models: int
) -> Iterator[mujoco.MjModel]:
  """Yields ``models`` randomised copies of ``model``, with bumps if it has a height field.

  Args:
    model: the model to vary; it is not changed.
    ranges: ranges of the parameters.
    joints: the degrees of freedom whose damping and friction loss are randomised.
    models: number of copies.
  """
  rng = np.random.default_rng(0)  # fixed, so that a resumed run has the same models
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
