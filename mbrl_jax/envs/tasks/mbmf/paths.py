"""Lists the paths that the agents of MBMF follow, with the weights of their costs.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), published code. ``right_turn`` goes left first: up along y,
then to the right.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mbrl_jax.envs.tasks.mbmf.waypoints import Path, Weights


def _line(step: float, end: float) -> np.ndarray:
  """Returns way-points along the first axis, ``step`` apart, up to ``end`` (excluded)."""
  along = np.arange(0.0, end, step)
  return np.stack([along, np.zeros_like(along)], 1)


def _points(*points: tuple[float, float]) -> np.ndarray:
  return np.array(points, float)


_STRAIGHT = _line(0.7, 40.0)

SWIMMER: Mapping[str, Path] = {
  "straight": Path(_STRAIGHT, Weights(4, 500, 2)),
  "left_turn": Path(
    _points((0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (4, 2), (4, 3), (4, 4)),
    Weights(0.7, 200, 0.9),
  ),
  "right_turn": Path(
    _points((0, 0), (0, 1), (0, 2), *((x, 3) for x in range(2, 9))),
    Weights(0.1, 250, 0.9),
    heading=np.pi / 2,
  ),
}

ANT: Mapping[str, Path] = {
  "straight": Path(_STRAIGHT, Weights(3.5, 85, 100)),
  "left_turn": Path(
    _points((0, 0), (2, 0), (4, 0), (6, 0), *((6, y) for y in range(2, 8))),
    Weights(4, 85, 100),
  ),
  "right_turn": Path(
    _points(*((0, y) for y in range(5)), (2, 4), (3, 4), (4, 4), (6, 4), (7, 4)),
    Weights(3, 50, 100),
  ),
  "u_turn": Path(
    _points((0, 0), (2, 0), (4, 0), (4, 1), (4, 2), (2, 2), (1, 2), (0, 2)),
    Weights(3, 50, 100),
  ),
}

HALFCHEETAH: Mapping[str, Path] = {
  "straight": Path(_STRAIGHT, Weights(0, 40, 10)),
  "backward": Path(_line(-0.5, -40.0), Weights(0, 20, 10)),
  "forward_backward": Path(
    _points(*((x, 0) for x in (0, 1, 2, 3, 2, 1, 0, -1, -2))), Weights(0, 20, 10)
  ),
}
