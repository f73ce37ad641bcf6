"""Runs programs of experiments/ in separate processes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "experiments" / "examples"
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
ISOLATED = """
import importlib.abc, runpy, sys
class Block(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    if name.partition(".")[0] in ("mbrl_jax", "experiments"):
      raise ImportError(name)
sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script in a process that cannot import mbrl_jax."""


def program(name, *arguments, status=0):
  """Runs a program that must exit with ``status``; returns stdout, for errors stderr."""
  command = [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == status, done.stdout[-2000:] + done.stderr[-3000:]
  assert "Traceback" not in done.stderr
  return done.stdout if status == 0 else done.stderr


def exported_actions(folder, steps):
  """Runs the example ``load_exported.py`` without mbrl_jax; returns its actions as strings."""
  command = [sys.executable, "-c", ISOLATED, EXAMPLES / "load_exported.py", folder, steps]
  done = subprocess.run(
    [*map(str, command)], cwd=folder, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout.split()
