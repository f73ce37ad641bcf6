"""The two MuJoCo tasks that MPPI replans, the same for every library.

Horizon, knots, costs, noise and temperature are those of hydrax' pendulum and particle
examples; the samples are those of its figures in PERFORMANCE.
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
"""Seconds of an episode."""


@dataclasses.dataclass(frozen=True)
class MjcfTask:
  """A task; costs work on numpy and jax arrays alike.

  Attributes:
    name: of the MJCF beside this file.
    horizon: control steps of a plan, each one simulation step.
    noise: deviation of the sampled controls, which lie within -1 to 1.
    temperature: of MPPI.
    start: positions and velocities.
    state_cost: ``(lib, qpos, qvel) -> []``; also the cost at the horizon.
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
    """Path of the model."""
    return str(Path(__file__).with_name(f"{self.name}.xml"))


def _pendulum_cost(lib: Any, qpos: Any, qvel: Any) -> Any:
  """Charges the distance to upright on the unit circle and the speed."""
  angle = qpos[0] - math.pi
  return (lib.cos(angle) - 1) ** 2 + lib.sin(angle) ** 2 + 0.01 * qvel[0] ** 2


def _particle_cost(lib: Any, qpos: Any, qvel: Any) -> Any:
  """Charges the distance to a goal and the speed."""
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
  """Replans at every step of an episode that MuJoCo's C engine simulates.

  Args:
    task: which one.
    replan: ``(qpos, qvel, time) -> ctrl``; its calls are what is timed.

  Returns:
    ``seconds`` of a replan in the median and ``slow`` of the slowest in a hundred, the
    mean ``cost`` of the last third, and whether all was ``finite``.
  """
  import mujoco

  model = mujoco.MjModel.from_xml_path(task.mjcf)
  data = mujoco.MjData(model)
  data.qpos[:], data.qvel[:] = task.start
  taken, costs = [], []
  for _ in range(round(EPISODE / model.opt.timestep)):
    start = time.perf_counter()
    ctrl = np.asarray(replan(np.float32(data.qpos), np.float32(data.qvel), data.time))
    taken.append(time.perf_counter() - start)
    costs.append(float(task.state_cost(np, data.qpos, data.qvel)))
    data.ctrl[:] = ctrl
    mujoco.mj_step(model, data)
  seconds, slow = np.percentile(taken, [50, 99])
  cost = float(np.mean(costs[-(len(costs) // 3) :]))
  finite = math.isfinite(cost)
  return {"seconds": float(seconds), "slow": float(slow), "cost": cost, "finite": finite}
