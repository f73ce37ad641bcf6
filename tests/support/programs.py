"""Runs programs of experiments/ in separate processes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = [
  "--env=linear_quadratic",
  "--env.episode_length=10",
  "--config.trials=2",
  "--config.model.hidden=(8,)",
  "--config.model.weight_decay=(1e-4,1e-4)",
  "--config.planner.samples=10",
  "--config.planner.elites=2",
  "--config.planner.horizon=3",
  "--config.planner.particles=5",
]
"""Flags of a run that takes seconds."""


def program(name, *arguments, status=0):
  """Runs a program that must exit with ``status``; returns stdout, for errors stderr."""
  command = [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == status, done.stdout[-2000:] + done.stderr[-3000:]
  assert "Traceback" not in done.stderr
  return done.stdout if status == 0 else done.stderr
