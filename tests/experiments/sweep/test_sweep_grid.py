"""Combinations of a sweep: names, settings, errors, and runs that they extend."""

from __future__ import annotations

import pytest
from sweep_calls import cells

from experiments.command_line.cli import UsageError
from experiments.sweep import __main__ as program
from experiments.sweep import grid
from mbrl_jax.runtime.storage import run_folder


def test_the_folder_of_a_combination_is_named_by_its_values():
  found = cells("--sweep.agent.learning_rate=3e-4,1e-3", "--sweep.agent.updates_per_step=1,2")
  assert [cell.name for cell in found] == [
    "learning_rate=0.0003_updates_per_step=1.0",
    "learning_rate=0.0003_updates_per_step=2.0",
    "learning_rate=0.001_updates_per_step=1.0",
    "learning_rate=0.001_updates_per_step=2.0",
  ]
  assert found[1].settings["config"]["agent"]["updates_per_step"] == 2
  assert found[1].dotted["config"] == {
    "agent.learning_rate": "3e-4",
    "agent.updates_per_step": "2",
  }


@pytest.mark.parametrize(
  ("text", "values"),
  [
    ("1,2", ["1", "2"]),
    ("(64,64),(8,)", ["(64,64)", "(8,)"]),
    ("64,64;8", ["64,64", "8"]),
    (" a ; b,c ", ["a", "b,c"]),
    ("7", ["7"]),
  ],
)
def test_values_are_separated_by_commas_or_semicolons(text, values):
  assert grid.split_values("x", text) == values


def test_tuples_flags_and_arguments_of_the_task_are_swept():
  found = cells("--sweep.agent.hidden=(64,64);(8,)", "--sweep.env.episode_length=10,20")
  assert found[0].name == "hidden=64x64_episode_length=10"
  assert found[3].settings["env_overrides"] == {"episode_length": 20}
  found = cells("--sweep.algo=sac,mbpo", "--sweep.env=pendulum,cartpole")
  assert [cell.settings["env"] for cell in found] == ["pendulum", "cartpole"] * 2
  assert found[2].name == "algo=mbpo_env=pendulum"


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ([], "--sweep.NAME is missing"),
    (["--sweep.agent.rate=1,2"], r"^--sweep.agent.rate is not known"),
    (["--sweep.agent.tau=1,x"], r"^--sweep.agent.tau='x' is not of the right type"),
    (["--sweep.agent.tau=1,,2"], "has an empty value"),
    (["--sweep.agent.updates_per_step=1,2,1"], "lists updates_per_step=1.0 twice"),
    (["--sweep.agent.learning_rate=1e-3,0.001"], "lists learning_rate=0.001 twice"),
    (["--sweep.algo=sac,sak"], r"^--sweep.algo='sak' is not known. Did you mean 'sac'"),
    (["--sweep.env=pendulum,pendlum"], r"^--sweep.env='pendlum' is not known"),
    (["--sweep.agent.tau=1", "--config.agent.tau=2"], "exclude each other"),
  ],
)
def test_invalid_sweeps_are_refused_with_one_sentence(words, message):
  with pytest.raises(UsageError, match=message) as error:
    cells(*words)
  assert "\n" not in str(error.value)


def test_a_longer_sweep_extends_its_runs_and_keeps_their_other_settings(tmp_path):
  """The evaluation interval, by default a twentieth of the run, stays that of the start."""
  swept = "--sweep.agent.tau=0.1"
  (short,), (long,) = (cells(swept, f"--config.steps={n}") for n in (20_000, 40_000))
  run_folder.create(tmp_path / short.name, program._job(tmp_path, short).settings)
  task = program._job(tmp_path, long)
  assert (task.total_steps, task.settings["eval_steps"]) == (40_000, 1000)
  (other,) = cells(swept, "--config.steps=40000", eval_steps=2000)
  with pytest.raises(run_folder.RunFolderError, match="eval_steps: the run has 1000, r"):
    program._job(tmp_path, other)
