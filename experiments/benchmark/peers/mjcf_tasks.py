"""Defines the two MuJoCo tasks on which MPPI replans in every library.

Horizon, knots, costs, noise and temperature are those of hydrax' pendulum and particle
examples.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 512
KNOTS = 11
EPISODE = 4.0
"""Length of an episode, in seconds."""


@dataclasses.dataclass(frozen=True)
class MjcfTask:
  """A task; its costs accept numpy and jax arrays.

  Attributes:
    name: file name of the MJCF in this folder, without suffix.
    horizon: control steps of a plan; one simulation step each.
    noise: standard deviation of the sampled controls, whose range is -1 to 1.
    temperature: MPPI's temperature.
    start: initial positions and velocities.
    state_cost: ``(lib, qpos, qvel) -> []``; also the terminal cost.
    control_cost: ``(lib, ctrl) -> []``.
  """

  name: str
  horizon: int
  noise: float
  temperature: float
  start: tuple[tuple[float, ...], tuple[float, ...]]
  state_cost: Callable[[Any, Any, Any], Any]
  control_cost: Callable[[Any, Any], Any]

  @property
  def mjcf(self) -> str:
    """Path of the MJCF file."""
    return str(Path(__file__).with_name(f"{self.name}.xml"))


def _pendulum_cost(lib: Any, qpos: Any, qvel: Any) -> Any:
  """Returns the squared distance to upright on the unit circle plus a speed cost."""
  angle = qpos[0] - math.pi
  return (lib.cos(angle) - 1) ** 2 + lib.sin(angle) ** 2 + 0.01 * qvel[0] ** 2


def _particle_cost(lib: Any, qpos: Any, qvel: Any) -> Any:
  """Returns the squared distance to the goal plus a speed cost."""
  goal = np.float32([0.25, 0.0])
  return 5.0 * lib.sum((qpos - goal) ** 2) + 0.1 * lib.sum(qvel**2)


TASKS = {
  "pendulum": MjcfTask(
    name="pendulum",
    horizon=50,
    noise=0.2,
    temperature=0.1,
    start=((0.0,), (0.0,)),
    state_cost=_pendulum_cost,
    control_cost=lambda lib, ctrl: 0.001 * lib.sum(ctrl**2),
  ),
  "particle": MjcfTask(
    name="particle",
    horizon=25,
    noise=0.3,
    temperature=0.01,
    start=((-0.2, -0.2), (0.0, 0.0)),
    state_cost=_particle_cost,
    control_cost=lambda lib, ctrl: 0.1 * lib.sum(ctrl**2),
  ),
}


def episode(task: MjcfTask, replan: Callable[[np.ndarray, np.ndarray, float], Any]) -> dict:
  """Runs an episode on MuJoCo's C engine, replanning at every step.

  Args:
    task: the task.
    replan: ``(qpos, qvel, time) -> ctrl``; only its calls are timed.

  Returns:
    ``seconds``, the median time of a replan; ``slow``, its 99th percentile; ``cost``, the mean
    over the last third of the episode; ``finite``, whether that cost is finite.
  """
  import mujoco

  model = mujoco.MjModel.from_xml_path(task.mjcf)
  data = mujoco.MjData(model)
  data.qpos[:], data.qvel[:] = task.start
  times, costs = [], []
  for _ in range(round(EPISODE / model.opt.timestep)):
    start = time.perf_counter()
    ctrl = np.asarray(replan(np.float32(data.qpos), np.float32(data.qvel), data.time))
    times.append(time.perf_counter() - start)
    costs.append(float(task.state_cost(np, data.qpos, data.qvel)))
    data.ctrl[:] = ctrl
    mujoco.mj_step(model, data)
  seconds, slow = np.percentile(times, [50, 99])
  cost = float(np.mean(costs[-(len(costs) // 3) :]))
  finite = math.isfinite(cost)
  return {"seconds": float(seconds), "slow": float(slow), "cost": cost, "finite": finite}
