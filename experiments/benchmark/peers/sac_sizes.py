"""Sizes of the actor-critic's job in every library; numpy only."""

from __future__ import annotations

import numpy as np

OBS_DIM, ACTION_DIM = 17, 6
BATCH, HIDDEN = 256, (256, 256)
ROWS = 10_000
"""Transitions in the replay buffer."""


def transitions() -> dict[str, np.ndarray]:
  """Draws random ``obs``, ``action``, ``reward`` and ``next_obs``."""
  rng = np.random.default_rng(0)
  shapes = {"obs": (OBS_DIM,), "action": (ACTION_DIM,), "reward": (), "next_obs": (OBS_DIM,)}
  drawn = {name: rng.normal(size=(ROWS, *shape)) for name, shape in shapes.items()}
  drawn["action"] = np.tanh(drawn["action"])
  return {name: np.float32(values) for name, values in drawn.items()}
