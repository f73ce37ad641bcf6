"""Helpers of the tests of sweeps: combinations from flags, and calls of the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from experiments.command_line.cli import split
from experiments.sweep import grid

ROOT = Path(__file__).parents[3]
BASE = {
  "algo": "sac",
  "env": "pendulum",
  "preset": "cpu",
  "physics": "auto",
  "seed": 0,
  "seeds": 2,
  "eval_every": None,
  "eval_steps": None,
  "eval_episodes": None,
}
TINY = [
  "--algo=sac",
  "--env=linear_quadratic",
  "--env.episode_length=10",
  "--config.steps=60",
  "--config.init_steps=20",
  "--config.update_every=10",
  "--config.agent.batch_size=8",
  "--config.agent.hidden=(8,)",
  "--eval_episodes=2",
  "--norollouts",
  "--novideo",
]


def cells(*words, **flags):
  dotted = {"sweep": {}, "config": {}, "env": {}}
  assert split(list(words), dotted) == []
  return grid.cells(dotted, {**BASE, **flags})


def sweep(*words, **more):
  command = [sys.executable, "-m", "experiments.sweep", *map(str, words)]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)
