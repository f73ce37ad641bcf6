"""A planner and an algorithm are added to a copy of the package as WORKSPACE.md describes."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from mbrl_jax.runtime.storage.csv_log import read_table

ROOT = pathlib.Path(__file__).parents[2]
PLANNER = '''
"""Hill climbing: keeps the best of plans drawn around the current one."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.types import Array, Search


class HillState(NamedTuple):
  plan: Array
  width: Array
  low: Array
  high: Array


def hill_climbing(samples: int = 32, *, width: float = 0.3) -> Search:
  """Makes the search.

  Args:
    samples: plans per iteration.
    width: deviation as a share of the action range.
  """
  positive(samples=samples, width=width)

  def init(low, high):
    return HillState(plan=(low + high) / 2, width=jnp.float32(width), low=low, high=high)

  def sample(state, key, size):
    noise = jax.random.normal(key, (size, *state.low.shape)).at[0].set(0.0)
    plans = state.plan + state.width * (state.high - state.low) * noise
    return jnp.clip(plans, state.low, state.high), state

  update = lambda state, plans, returns: state._replace(plan=plans[jnp.argmax(returns)])
  shift = lambda state, steps: state._replace(
    plan=shift_plan(state.plan, steps, state.plan[-1])
  )
  sizes = lambda iterations: (samples,) * iterations
  return Search(init, sample, update, lambda state: state.plan, shift, sizes)
'''
ALGORITHM = '''
"""Random search over linear policies: keeps the one with the best episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts import replay
from mbrl_jax.types import Algorithm, Array, TrainState


@dataclass(frozen=True)
class Config(replay.ReplayConfig):
  """Random search.

  Attributes:
    noise: deviation of the proposed weights.
  """

  noise: float = 0.5


class Learn(NamedTuple):
  best: Array
  value: Array
  tried: Array
  total: Array
  noise: Array


def make_blind(spec, config: Config) -> Algorithm:
  """Makes the algorithm."""
  shape = (spec.action_dim, spec.obs_dim)

  def init(key, envs=1):
    none = jnp.zeros(())
    learn = Learn(jnp.zeros(shape), none - jnp.inf, jnp.zeros(shape), none, none + config.noise)
    return TrainState(learn, jnp.zeros((envs, 0)), None, key, jnp.zeros((), jnp.int32))

  def act(weights, carry, obs, key):
    action = jnp.clip(weights @ obs, spec.action_low, spec.action_high)
    return action, carry, {"size": jnp.abs(action).mean()}

  def observe(state, transitions):
    total = state.learn.total + transitions.reward.mean()
    return state._replace(learn=state.learn._replace(total=total))

  def update(state):
    key, draw = jax.random.split(state.key)
    learn, better = state.learn, state.learn.total > state.learn.value
    best = jnp.where(better, learn.tried, learn.best)
    value = jnp.where(better, learn.total, learn.value)
    tried = best + learn.noise * jax.random.normal(draw, shape)
    learn = Learn(best, value, tried, jnp.zeros(()), learn.noise)
    return state._replace(learn=learn, key=key), {"value": value, "ran": jnp.ones(())}

  return Algorithm(
    init=init,
    params=lambda state: state.learn.tried,
    act=act,
    reset=lambda weights, carry: carry,
    observe=observe,
    update=update,
    budget=replay.step_budget(config, batch_size=1),
    deploy=lambda weights: (weights, jnp.zeros(0)),
    plans=False,
  )
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory):
  """Returns the folder of a copy of the package with both added."""
  folder = tmp_path_factory.mktemp("package")
  ignored = shutil.ignore_patterns("__pycache__", "results")
  for name in ("mbrl_jax", "experiments"):
    shutil.copytree(ROOT / name, folder / name, ignore=ignored)

  def edit(path, *pairs):
    text = (folder / path).read_text()
    for old, new in pairs:
      assert old in text, f"{path} has no {old!r}: is WORKSPACE.md up to date?"
      text = text.replace(old, new, 1)
    (folder / path).write_text(text)

  (folder / "mbrl_jax/planners/hill_climbing.py").write_text(PLANNER.lstrip())
  edit(
    "mbrl_jax/planners/__init__.py",
    (
      "from mbrl_jax.planners.icem",
      "from mbrl_jax.planners.hill_climbing import hill_climbing\nfrom mbrl_jax.planners.icem",
    ),
    ('"icem": icem', '"hill_climbing": hill_climbing,\n  "icem": icem'),
  )
  (folder / "mbrl_jax/algorithms/blind.py").write_text(ALGORITHM.lstrip())
  edit(
    "mbrl_jax/algorithms/registry.py",
    ("import (\n", "import (\n  blind,\n"),
    ('  "demo_layer":', '  "blind": (blind.Config, blind.make_blind),\n  "demo_layer":'),
  )
  return folder


def program(package, name, *words):
  environment = {**os.environ, "PYTHONPATH": str(package)}
  command = [sys.executable, "-m", f"experiments.{name}", *map(str, words)]
  done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=package)
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
  return done.stdout


@pytest.mark.slow
def test_an_algorithm_without_presets_trains_resumes_evaluates_and_plots(package, tmp_path):
  run = tmp_path / "run"
  sizes = ["--env.episode_length=25", "--video=false", f"--logdir={run}"]
  config = ["--config.steps=400", "--config.update_every=100", "--config.init_steps=100"]
  program(package, "train", "--algo=blind", "--env=pendulum", "--envs=4", *sizes, *config)
  assert len(read_table(run / "metrics.csv")) == 16
  program(
    package, "train", "--resume", f"--logdir={run}", "--config.steps=800", "--video=false"
  )
  rows = read_table(run / "metrics.csv")
  assert len(rows) == 32 and rows[-1]["step"] == 800
  assert "episodes at step 800" in program(package, "evaluate", f"--run={run}")
  program(package, "plot", f"--runs={run}")
  assert list((run / "plots").glob("*.png"))
  assert "--config.noise: deviation of the proposed weights" in program(
    package, "train", "--algo=blind", "--help"
  )


@pytest.mark.slow
def test_an_added_planner_plans_alone_and_in_an_algorithm(package, tmp_path):
  assert "hill_climbing" in program(package, "plan", "--help")
  run = tmp_path / "run"
  small = ["--config.model.members=2", "--config.model.hidden=(8,)", "--config.trials=2"]
  small += ["--config.model.weight_decay=(1e-5,)", "--env.episode_length=20", "--video=false"]
  planner = ["--config.planner.name=hill_climbing", "--config.planner.width=0.2"]
  planner += ["--config.planner.samples=8", "--config.planner.particles=2"]
  program(package, "train", f"--logdir={run}", *small, *planner)
  assert len(read_table(run / "metrics.csv")) == 3
