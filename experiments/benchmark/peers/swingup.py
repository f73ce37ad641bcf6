"""Defines the pendulum that MPPI controls in every library; numpy only.

Equations and constants are those of ``envs.tasks.analytic.pendulum``; each library implements
them for planning. Planners minimise ``theta^2 + 0.1 thetadot^2`` of the state after each step,
as in pytorch_mppi's pendulum example.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

GRAVITY, DT, MAX_SPEED, MAX_TORQUE = 10.0, 0.05, 8.0, 2.0  # m/s^2, s, rad/s, Nm
VARIANCE, TEMPERATURE = 10.0, 1.0
"""Variance of the torque noise, and lambda, of pytorch_mppi's example."""

STEPS = 200
"""Control steps of an episode."""


def advance(state: np.ndarray, torque: float) -> tuple[np.ndarray, float]:
  """Returns the next ``[theta, thetadot]`` and the reward of one step."""
  theta, speed = (float(x) for x in state)
  torque = min(max(torque, -MAX_TORQUE), MAX_TORQUE)
  wrapped = (theta + math.pi) % (2 * math.pi) - math.pi
  reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
  speed += DT * (1.5 * GRAVITY * math.sin(theta) + 3.0 * torque)
  speed = min(max(speed, -MAX_SPEED), MAX_SPEED)
  return np.array([theta + DT * speed, speed], np.float32), reward


def episode(policy: Callable[[np.ndarray], float]) -> dict[str, Any]:
  """Runs one episode, which starts hanging down.

  Args:
    policy: ``(state [2]) -> torque``; only its calls are timed.

  Returns:
    ``seconds``, the median time of a call; ``slow``, its 99th percentile; the episode's
    ``return``; ``finite``, whether that return is finite.
  """
  state, total, times = np.array([math.pi, 0.0], np.float32), 0.0, []
  for _ in range(STEPS):
    start = time.perf_counter()
    torque = policy(state)
    times.append(time.perf_counter() - start)
    state, reward = advance(state, torque)
    total += reward
  seconds, slow = np.percentile(times, [50, 99])
  return {
    "seconds": float(seconds),
    "slow": float(slow),
    "return": total,
    "finite": math.isfinite(total),
  }
