"""Combinations with equal programs, and only those, train in one process."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import rich.console
from absl import flags
from sweep_calls import TINY, cells, sweep

from experiments import job
from experiments.command_line import cli
from experiments.sweep import __main__ as program
from experiments.sweep import programs, run_group, schedule
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training.loop import Diverged

QUIET = rich.console.Console(file=io.StringIO())
TINY_FLAGS = {"env": "linear_quadratic", "preset": "cpu"}


def grouped(folder, *words, most=8, jobs=1, **flags):
  found = cells(*words, **{**TINY_FLAGS, **flags})
  pairs = [
    (schedule.Run(cell.name, RunFolder(folder / cell.name), 10), job.build(cell.settings))
    for cell in found
  ]
  return [
    [run.name for run in group] for group in programs.group_runs(pairs, most, jobs, QUIET)
  ]


@pytest.mark.slow
def test_runs_that_differ_in_floats_share_a_program_and_sizes_do_not(tmp_path):
  words = ["--sweep.agent.learning_rate=1e-3,3e-3", "--sweep.agent.batch_size=8,16"]
  assert grouped(tmp_path, *words) == [
    ["learning_rate=0.001_batch_size=8", "learning_rate=0.003_batch_size=8"],
    ["learning_rate=0.001_batch_size=16", "learning_rate=0.003_batch_size=16"],
  ]


def test_the_command_of_a_group_lists_folders_with_any_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(program, "_typed", lambda options: ["--keep=3"])
  runs = [schedule.Run(name, RunFolder(Path("-s [1]") / name), 10) for name in "ab"]
  combinations = [SimpleNamespace(settings={"seed": 0})] * 2
  group = program._group_process(runs, combinations, None)
  words = group.command[group.command.index("experiments.sweep.run_group") :]
  values = flags.FlagValues()
  flags.DEFINE_multi_string("runs", [], "", flag_values=values)
  flags.DEFINE_integer("keep", 2, "", flag_values=values)
  assert values(cli._repeat(words, "runs"))[1:] == []
  assert values.runs == ["-s [1]/a", "-s [1]/b"] and values.keep == 3


def test_an_error_is_logged_to_every_run_but_divergence_is_not(tmp_path):
  folders = [RunFolder(tmp_path / name) for name in "ab"]
  for error, logged in ((Diverged("b has"), ""), (ValueError("wrong"), "error: wrong\n")):
    with pytest.raises(type(error)), run_group._consoles(folders):
      raise error
    assert [schedule.log_of(folder).read_text() for folder in folders] == [logged, logged]


@pytest.mark.slow
def test_floats_that_are_constants_of_the_program_separate_groups(tmp_path, monkeypatch):
  lowered = []
  program = programs._program
  monkeypatch.setattr(programs, "_program", lambda task: lowered.append(1) or program(task))
  words = ["--sweep.world_model.holdout=0.1,0.4", "--sweep.agent.tau=0.1,0.2"]
  found = grouped(tmp_path, *words, algo="mbpo", env="pendulum")
  assert found == [
    ["holdout=0.1_tau=0.1", "holdout=0.1_tau=0.2"],
    ["holdout=0.4_tau=0.1", "holdout=0.4_tau=0.2"],
  ]
  assert len(lowered) == 4


@pytest.mark.slow
def test_groups_are_split_by_size_and_single_runs_are_not_lowered(tmp_path, monkeypatch):
  words = ["--sweep.agent.tau=0.1,0.2,0.3"]
  assert list(map(len, grouped(tmp_path, *words, most=2))) == [2, 1]
  words = ["--sweep.agent.tau=0.1,0.2,0.3,0.4"]
  assert list(map(len, grouped(tmp_path, *words, jobs=2))) == [2, 2]
  both = [*words, "--sweep.agent.batch_size=8,16"]
  assert list(map(len, grouped(tmp_path, *both, jobs=2))) == [4, 4]
  monkeypatch.setattr(programs, "_program", None)
  assert list(map(len, grouped(tmp_path, *words, jobs=4))) == [1, 1, 1, 1]
  assert list(map(len, grouped(tmp_path, *words, most=1))) == [1, 1, 1, 1]


@pytest.mark.slow
def test_runs_at_other_steps_or_on_other_tasks_are_separate_groups(tmp_path):
  (tmp_path / "tau=0.1" / "checkpoints" / "00000010").mkdir(parents=True)
  assert grouped(tmp_path, "--sweep.agent.tau=0.1,0.2,0.3") == [
    ["tau=0.1"],
    ["tau=0.2", "tau=0.3"],
  ]
  words = ["--sweep.env.action_noise=0.0,0.1", "--sweep.agent.tau=0.1,0.2"]
  assert list(map(len, grouped(tmp_path, *words))) == [2, 2]


@pytest.mark.slow
def test_a_sweep_trains_equal_programs_in_one_process(tmp_path):
  folder = tmp_path / "sweep"
  rates = "--sweep.agent.learning_rate=1e-3,1e-4,1e15"
  words = [*TINY, "--seeds=2", f"--logdir={folder}", rates]
  done = sweep(*words)
  assert done.returncode == 1
  assert done.stdout.count("start ") == 1 and "0.001 + learning_rate=0.0001 + " in done.stdout
  assert done.stdout.count("done   ") >= 2 and "not finite after step" in done.stderr
  names = ["learning_rate=0.001", "learning_rate=0.0001"]
  tables = [read_table(folder / name / "metrics.csv") for name in names]
  assert [row["step"] for row in tables[0]] == [
    step for step in range(10, 61, 10) for _ in "ab"
  ]
  assert [row["return"] for row in tables[0]] != [row["return"] for row in tables[1]]
  assert "compiled the training step" in (folder / f"{names[1]}.log").read_text()
  assert (folder / names[0] / "plots" / "learning_curve.png").exists()
  again = sweep(*words)
  assert again.returncode == 1 and again.stdout.count("done before") == 2
