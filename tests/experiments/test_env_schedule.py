"""``--env_schedule``: its syntax and refusals, the calls of each phase, and exact resuming."""

from __future__ import annotations

import io
import json
import pathlib

import jax
import numpy as np
import pytest
import rich.console
import runtime_probe

from experiments import env_schedule, job, run_settings
from experiments.analysis import pictures
from experiments.command_line.cli import UsageError
from experiments.train import opening
from mbrl_jax.envs import double_integrator
from mbrl_jax.runtime.rendering import plots
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.csv_log import evaluations
from mbrl_jax.runtime.training import loop
from mbrl_jax.types import Budget

QUIET = rich.console.Console(file=io.StringIO())
NOISY = "20:action_noise=2.0,40:action_noise=0.0"
"""The second of three phases has noise; the first change is inside an episode."""
TINY = {
  "steps": 55, "init_steps": 20, "update_every": 10, "agent.batch_size": 8,
  "agent.hidden": (8,),
}  # fmt: skip


def build(schedule, config=None, **changed):
  settings = {
    "algo": "sac", "env": "linear_quadratic", "preset": "cpu", "physics": "auto", "seed": 0,
    "seeds": 1, "env_overrides": {"episode_length": 15, "action_noise": 0.0},
    "config_overrides": {**TINY, **(config or {})}, "eval_episodes": 2, **changed,
  }  # fmt: skip
  made = run_settings.make_settings(**settings, env_schedule=schedule)
  return job.build(json.loads(json.dumps(made)))


def test_changes_are_parsed_and_stored_in_one_form():
  text = "20_000: forearm=.2 ,randomise.masses=(0.8,1.2), 40000:forearm=0.321"
  assert env_schedule.parse(text) == [
    (20_000, {"forearm": 0.2, "randomise.masses": (0.8, 1.2)}),
    (40_000, {"forearm": 0.321}),
  ]
  stored = env_schedule.canonical(text)
  assert stored == "20000:forearm=0.2,randomise.masses=(0.8, 1.2),40000:forearm=0.321"
  assert env_schedule.canonical(stored) == stored
  assert env_schedule.parse("") == [] and "env_schedule" not in build("").settings
  assert build(NOISY).settings["env_schedule"] == NOISY


REACHER = {"env": "reacher_7dof", "env_overrides": {}}
BAD = [
  ("forearm=0.2", r"must be STEP:NAME=VALUE"),
  ("20", r"must be STEP:NAME=VALUE"),
  ("20:action_noise=1,action_noise=2", r"sets action_noise twice at step 20"),
  ("20:action_noise=1,20:action_noise=2", r": step 20 must be above 20\."),
  ("0:action_noise=1", r": step 0 must be above 0\."),
  ("25:action_noise=1", r": step 25 must be a multiple of 10, the steps of one compiled call"),
  ("60:action_noise=1", r": step 60 must be below 55, the steps of the run"),
  ("20:noise=1", r"--env_schedule=20:noise is not known\. Did you mean"),
  ("20:action_noise=-1", r"--env_schedule=20:action_noise=-1 must be finite"),
  ("20:episode_length=5", r"changes episode_length from 15 to 5, which must stay"),
]


@pytest.mark.parametrize(("schedule", "message"), BAD)
def test_an_invalid_schedule_is_refused_in_one_sentence(schedule, message):
  with pytest.raises(UsageError, match=message) as error:
    build(schedule)
  assert "\n" not in str(error.value) and "--env_schedule=" in str(error.value)


def test_a_change_of_the_states_shape_is_refused_and_named():
  message = r"changes physics\.variant of the state from nothing to int32\[\], which must stay"
  with pytest.raises(UsageError, match=message):
    build("20:randomise.masses=(0.8,1.2)", **REACHER)
  with pytest.raises(UsageError, match=r"forearm=9 must lie between 0\.05 and 1"):
    build("20:forearm=9", **REACHER)
  several = {"env": "reacher_7dof", "env_overrides": {"randomise.masses": "(0.8,1.2)"}}
  with pytest.raises(UsageError, match=r"changes the number of models from 8 to 4"):
    build("20:randomise.count=4", **several)


def test_each_phase_has_its_task_and_arguments_keep_their_values():
  task = build("20:forearm=0.2,30:action_noise=0.1", **REACHER)
  forearms = [phase.env for phase in task.phases]
  assert [phase.start for phase in task.phases] == [0, 20, 30]
  assert forearms[1].model.body("wrist").pos[0] == 0.2
  assert forearms[2].env.model.body("wrist").pos[0] == 0.2 and forearms[2].std == 0.1
  at = {step: task.at(step).env for step in (0, 20, 21, 30, 31, 55)}
  expected = dict(zip(at, [forearms[i] for i in (0, 0, 1, 1, 2, 2)], strict=True))
  assert at == expected


def test_calls_end_where_a_phase_does():
  split = lambda *numbers: [tuple(calls) for calls in env_schedule.split_calls(*numbers)]
  assert split([0], 0, 25, None) == [(0, 0, None, 25)]
  assert split([0, 500], 0, 250, None) == [(0, 0, 500, 250), (1, 500, None, 250)]
  assert split([0, 500], 500, 250, 900) == [(1, 500, 750, 250), (1, 750, 900, 150)]
  # An extended run continues at 1100.
  assert split([0, 1500, 3000], 1100, 250, 3100) == [
    (0, 1100, 1350, 250), (0, 1350, 1500, 150), (1, 1500, 3000, 250), (2, 3000, 3100, 100),
  ]  # fmt: skip
  assert split([0, 500], 900, 250, 900) == [(1, 900, None, 250)]


def test_a_call_ends_at_each_change_if_the_algorithm_does_not_set_its_length():
  pets = {"algo": "pets", "env_overrides": {}, "config_overrides": {"trials": 30}}
  assert build("", env="reacher_7dof", **pets).chunk == 25
  assert build("1020:action_noise=1.0", env="reacher_7dof", **pets).chunk == 10
  assert build("1020:action_noise=1.0", env="hopper", **pets).chunk == 1


def quick(task):
  """Replaces the algorithm by one that compiles in a moment."""
  budget = Budget({}, "steps", steps=task.config.steps, chunk=task.config.update_every)
  return task._replace(algorithm=runtime_probe.probe_algorithm()._replace(budget=budget))


def train(folder, task, total, resume=False):
  task = quick(task)
  start = opening.saved_step(folder) if resume else 0
  state = task.init()
  schedule = loop.Schedule(total_steps=total, eval_steps=10, checkpoint_steps=10, keep=9)
  return loop.train(
    task.segments(start),
    state,
    folder,
    schedule,
    seeds=task.seeds,
    envs=task.envs,
    evaluate=opening.make_evaluator(task, state, QUIET, start),
    resume=resume,
    console=QUIET,
  )


def files(folder: pathlib.Path):
  """Returns the tables and the checksums of all arrays of all checkpoints."""
  found = {name: (folder / name).read_bytes() for name in ("metrics.csv", "evaluations.csv")}
  for manifest in sorted((folder / "checkpoints").glob("*/manifest.json")):
    found[manifest.parent.name] = json.loads(manifest.read_text())["leaves"]
  return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run of three phases."""
  task = build(NOISY)
  folder = run_folder.create(tmp_path_factory.mktemp("runs") / "whole", task.settings)
  outcome = train(folder, task, 55)
  assert outcome.finished and outcome.step == 55
  return folder


def test_only_the_second_phase_has_its_noise(whole):
  """The next observation is ``A x + B u`` without noise."""
  system = double_integrator()
  with np.load(whole.logs().with_suffix(".npz")) as logs:
    obs, actions, steps = logs["observations"], logs["actions"], logs["steps"]
    assert logs["lengths"].tolist() == [15, 15, 15] and steps.tolist() == [15, 30, 45]
  exact = obs[:, :-1] @ system.a.T + actions @ system.b.T
  error = np.abs(obs[:, 1:] - exact).max(-1).ravel()
  assert error[:20].max() < 1e-5 and error[40:].max() < 1e-5
  assert error[20:40].max() > 0.05 and (error[20:40] > 1e-5).sum() >= 19


SLOW = [pytest.param(stop, marks=pytest.mark.slow) for stop in (10, 30, 40)]


@pytest.mark.parametrize("stop", [20, *SLOW])
def test_resuming_in_any_phase_is_exact(tmp_path, whole, stop):
  """20 and 40 are the steps of changes."""
  task = build(NOISY)
  folder = run_folder.create(tmp_path / "parts", task.settings)
  assert train(folder, task, stop).step == stop
  again = job.build_run(folder)
  assert train(folder, again, 55, resume=True).finished
  assert files(folder.path) == files(whole.path)


def test_evaluations_use_the_task_of_their_phase(whole):
  """Those at the step of a change use the task before it."""
  task, rows = quick(job.build_run(whole)), evaluations(whole.path)
  assert [row["step"] for row in rows] == [10, 20, 30, 40, 50]
  fixed = task.init()
  returns = {}
  for step in (20, 30, 40, 50):
    rollout, _ = task.at(step).evaluation(2, fixed)
    returns[step] = rollout(fixed, jax.random.key(0))["return"].tolist()
  assert returns[20] == returns[50] and returns[30] == returns[40]
  assert returns[20] != returns[30]


@pytest.mark.slow
def test_several_seeds_and_environments_change_together(tmp_path):
  env = {"episode_length": 5, "action_noise": 0.0}
  task = build("30:action_noise=2.0", {"steps": 50}, seeds=2, envs=5, env_overrides=env)
  folder = run_folder.create(tmp_path / "run", task.settings)
  assert train(folder, task, 50).step == 50
  parts = run_folder.create(tmp_path / "parts", task.settings)
  train(parts, task, 30)
  train(parts, job.build_run(parts), 50, resume=True)
  assert files(parts.path) == files(folder.path)


def test_the_learning_curve_shows_the_changes(whole, tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(plots.Axes, "axvline", lambda axes, step, **kw: drawn.append(step))
  pictures.draw_run(whole, build("").env.spec, tmp_path)
  assert drawn == [20, 40]
