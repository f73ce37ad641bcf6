"""The pendulum that MPPI commands, the same for every library; numpy only.

Equations and numbers of ``envs.tasks.analytic.pendulum``, written anew in each library that
plans over them. Planners are charged ``theta^2 + 0.1 thetadot^2`` of the state after each
step, as in pytorch_mppi's own pendulum example.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

GRAVITY, DT, MAX_SPEED, MAX_TORQUE = 10.0, 0.05, 8.0, 2.0  # m/s^2, s, rad/s, Nm
VARIANCE, TEMPERATURE = 10.0, 1.0
"""Of pytorch_mppi's example: variance of the torque's noise, and lambda."""

STEPS = 200


def advance(state: np.ndarray, torque: float) -> tuple[np.ndarray, float]:
  """Moves ``[theta, thetadot]`` on by one step; returns it and the reward."""
  theta, speed = (float(x) for x in state)
  torque = min(max(torque, -MAX_TORQUE), MAX_TORQUE)
  wrapped = (theta + math.pi) % (2 * math.pi) - math.pi
  reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
  speed += DT * (1.5 * GRAVITY * math.sin(theta) + 3.0 * torque)
  speed = min(max(speed, -MAX_SPEED), MAX_SPEED)
  return np.array([theta + DT * speed, speed], np.float32), reward


def episode(command: Callable[[np.ndarray], float]) -> dict[str, Any]:
  """Commands one episode from hanging down, one step at a time.

  Args:
    command: ``(state [2]) -> torque``; its calls are what is timed.

  Returns:
    ``seconds`` of a command in the median and ``slow`` of the slowest in a hundred, the
    episode's ``return``, and whether all was ``finite``.
  """
  state, total, taken = np.array([math.pi, 0.0], np.float32), 0.0, []
  for _ in range(STEPS):
    start = time.perf_counter()
    torque = command(state)
    taken.append(time.perf_counter() - start)
    state, reward = advance(state, torque)
    total += reward
  seconds, slow = np.percentile(taken, [50, 99])
  return {
    "seconds": float(seconds),
    "slow": float(slow),
    "return": total,
    "finite": math.isfinite(total),
  }
