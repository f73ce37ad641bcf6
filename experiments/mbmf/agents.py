"""Lists the agents of MBMF: their tasks, data sets and lengths of runs.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), published settings.

Deviations:
  * The random rollouts include those that the model holds out for validation; there are 20 more
    for that in the original.
  * ``steps`` is shorter than the published 1e7 (swimmer) to 1.25e8. Batches of the swimmer are
    whole episodes, 49,950 steps.
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
    model_steps: environment steps of the planner, with aggregation.
    steps: environment steps of TRPO, from the imitated policy and from scratch.
    env: further words of the random rollouts' command.
    follow: how it follows paths, ``None``: not at all.
  """

  task: str
  episodes: int
  length: int
  model_steps: int
  steps: int
  env: tuple[str, ...] = ()
  follow: Follow | None = None


AGENTS: Mapping[str, Agent] = {
  "swimmer": Agent(
    "swimmer", 27, 333, 6 * 3330, 40 * 49_950,
    follow=Follow("swimmer_follow", paths.SWIMMER, 200, 500, 16, (0, 1), 3.0),
  ),
  "cheetah": Agent(
    "halfcheetah_mbmf", 11, 1000, 7 * 10_000, 30_000_000,
    follow=Follow("halfcheetah_follow", paths.HALFCHEETAH, 200, 1000, 24, (0, 2), 1.0),
  ),
  "hopper": Agent(
    "hopper_mbmf", 22, 200, 5 * 550, 10_000_000, ("--env.end_on_fall=False",)
  ),
  "ant": Agent(
    "ant_mbmf", 700, 1000, 2000, 10_000_000,
    follow=Follow("ant_follow", paths.ANT, 700, 1000, 35, (0, 1), 0.5),
  ),
}  # fmt: skip
FOLLOW_STEPS = 1000
"""Environment steps of the planner along a path: one episode."""
ENVS = 50
"""Environments in which TRPO takes its steps."""
KEPT_EPISODES = 60
"""Rollouts of the planner to imitate."""
KEPT_RETURN = 0.0
"""Least return of these rollouts."""
