"""Lists the agents of MBMF: their tasks, data sets and lengths of runs.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), published settings.

Deviations: ``steps`` is shorter than the published 1e7 (swimmer) to 1.25e8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mbrl_jax.envs.tasks.mbmf import paths
from mbrl_jax.envs.tasks.mbmf.waypoints import Path


class Follow(NamedTuple):
  """How an agent follows paths.

  Attributes:
    task: name of the task.
    paths: the paths by name.
    episodes, length: number and control steps of the random rollouts.
    size: length of the observation of the body; way-point segment and start follow it.
    plane: axes of the centre of mass in which the paths lie.
    body_length: unit of distances, metres: the swimmer's three links, the half-cheetah's
      torso, the diameter of the ant's torso.
  """

  task: str
  paths: Mapping[str, Path]
  episodes: int
  length: int
  size: int
  plane: tuple[int, int]
  body_length: float


class Agent(NamedTuple):
  """One agent.

  Attributes:
    task: name of the task.
    episodes, length: number and control steps of the random rollouts.
    steps: environment steps of TRPO, from the imitated policy and from scratch.
    batch: steps of a batch of TRPO from the imitated policy.
    std: standard deviation with which it starts.
    env: further words of the random rollouts' command.
    follow: how it follows paths, ``None``: not at all.
  """

  task: str
  episodes: int
  length: int
  steps: int
  batch: int
  std: float
  env: tuple[str, ...] = ()
  follow: Follow | None = None


AGENTS: Mapping[str, Agent] = {
  "swimmer": Agent(
    "swimmer", 25, 333, 2_000_000, 50_000, 1.0,
    follow=Follow("swimmer_follow", paths.SWIMMER, 200, 500, 16, (0, 1), 3.0),
  ),
  "cheetah": Agent(
    "halfcheetah_mbmf", 10, 1000, 30_000_000, 50_000, 0.5,
    follow=Follow("halfcheetah_follow", paths.HALFCHEETAH, 200, 1000, 24, (0, 2), 1.0),
  ),
  "hopper": Agent(
    "hopper_mbmf", 20, 200, 10_000_000, 25_000, 1.0, ("--env.end_on_fall=False",)
  ),
  "ant": Agent(
    "ant_mbmf", 700, 1000, 10_000_000, 50_000, 0.5,
    follow=Follow("ant_follow", paths.ANT, 700, 1000, 35, (0, 1), 0.5),
  ),
}  # fmt: skip
ENVS = 50
"""Environments in which TRPO takes its steps."""
KEPT_EPISODES = 60
"""Rollouts of the planner to imitate."""
KEPT_RETURN = 0.0
"""Least return of these rollouts."""
