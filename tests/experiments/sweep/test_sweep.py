"""A sweep trains all combinations, goes on after failures, stops, and resumes."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rich.console

from experiments.analysis import run_summary
from experiments.command_line.cli import UsageError, split
from experiments.sweep import __main__ as program
from experiments.sweep import grid, processes, results, schedule
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.run_folder import RunFolder

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


class Fake:
  """A backend whose runs end at once, as the script of each says."""

  def __init__(self, ends):
    self.ends, self.started, self.at_once, self.most = ends, [], 0, 0

  def start(self, command, log):
    self.started.append(command[0])
    return FakeRun(self, command[0], log)

  def close(self):
    pass


class FakeRun:
  def __init__(self, backend, name, log):
    self.backend, self.name, self.log, self.left, self.asked = backend, name, log, 2, False
    backend.at_once += 1
    backend.most = max(backend.most, backend.at_once)

  def poll(self):
    self.left -= 1
    if self.left > 0:
      return None
    self.backend.at_once -= 1
    status, steps, words = self.backend.ends[self.name]
    if steps:
      (self.log.with_suffix("") / "checkpoints" / f"{steps:08d}").mkdir(parents=True)
    self.log.write_text(words)
    return status

  def stop(self):
    self.asked = True

  def kill(self):
    pass


def test_a_run_that_counts_episodes_is_complete_with_the_last_of_all_seeds(tmp_path):
  run = schedule.Run("a", RunFolder(tmp_path), 400, 4)
  assert not run.complete
  Checkpoints(tmp_path / "checkpoints", keep=1).save(30, {"x": np.zeros(1)}, {}, None)
  rows = [(12, 0), (15, 1), (30, 0), (31, 1)]  # of two seeds; the last is not saved
  text = "".join(f"{step},{seed},1.0\n" for step, seed in rows)
  run.folder.metrics.write_text("step,seed,return\n" + text)
  assert not run.complete
  run.folder.metrics.write_text("step,seed,return\n" + text.replace("31", "29"))
  assert run.complete


def worked(folder, ends, jobs=2, stop=lambda: False):
  runs = [schedule.Run(n, RunFolder(folder / n), 100) for n in ends]
  backend, said = Fake(ends), io.StringIO()
  console = rich.console.Console(file=said, width=200, soft_wrap=True)
  work = [schedule.Group([run], [run.name], run.log) for run in runs]
  schedule.work(work, backend, jobs, console, stop)
  return runs, backend, said.getvalue()


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
  monkeypatch.setattr(schedule, "GLANCE", 0.0)


def test_all_combinations_have_a_folder_that_says_their_values():
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
def test_values_are_parted_by_commas_or_semicolons(text, values):
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
    ([], "Nothing is swept"),
    (["--sweep.agent.rate=1,2"], r"^--sweep.agent.rate is not known"),
    (["--sweep.agent.tau=1,x"], r"^--sweep.agent.tau='x' is not of the right type"),
    (["--sweep.agent.tau=1,,2"], "has an empty value"),
    (["--sweep.agent.updates_per_step=1,2,1"], "asks for updates_per_step=1.0 twice"),
    (["--sweep.agent.learning_rate=1e-3,0.001"], "asks for learning_rate=0.001 twice"),
    (["--sweep.algo=sac,sak"], r"^--sweep.algo='sak' is not known. Did you mean 'sac'"),
    (["--sweep.env=pendulum,pendlum"], r"^--sweep.env='pendlum' is not known"),
    (["--sweep.agent.tau=1", "--config.agent.tau=2"], "give the same; drop one"),
  ],
)
def test_what_can_not_be_swept_is_one_sentence(words, message):
  with pytest.raises(UsageError, match=message) as error:
    cells(*words)
  assert "\n" not in str(error.value)


def test_a_longer_sweep_extends_its_runs_but_changes_nothing_else_of_them(tmp_path):
  """By default they are evaluated twenty times; how often is as it was when they began."""
  swept = "--sweep.agent.tau=0.1"
  (short,), (long,) = (cells(swept, f"--config.steps={n}") for n in (20_000, 40_000))
  run_folder.create(tmp_path / short.name, program._task(tmp_path, short).settings)
  task = program._task(tmp_path, long)
  assert (task.total_steps, task.settings["eval_steps"]) == (40_000, 1000)
  (other,) = cells(swept, "--config.steps=40000", eval_steps=2000)
  with pytest.raises(run_folder.RunFolderError, match="eval_steps: the run has 1000, r"):
    program._task(tmp_path, other)


def test_a_run_that_fails_does_not_keep_the_others(tmp_path):
  ends = {"a": (0, 100, ""), "b": (1, 40, "one\nerror: it broke\n\n"), "c": (0, 100, "")}
  runs, backend, said = worked(tmp_path, ends)
  assert [run.status for run in runs] == ["done", "failed", "done"]
  assert runs[1].reason == "error: it broke" and backend.most == 2
  assert "failed        b: error: it broke" in said and "3/3 ended" in said
  assert results.failures(runs) == [f"b: error: it broke (all of it: {tmp_path / 'b.log'})"]


def test_a_run_is_done_when_its_last_step_is_saved(tmp_path):
  worked(tmp_path, {"a": (0, 100, ""), "b": (1, 40, "error")})
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 100) for n in "ab"]
  assert [run.saved for run in runs] == [100, 40]
  assert [run.complete for run in runs] == [True, False]
  runs, *_ = worked(tmp_path, {"b": (0, 99, "")})
  assert runs[0].status == "stopped"  # with status 0, but not at its end


def test_runs_of_one_process_end_each_in_its_way(tmp_path):
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 100) for n in "ab"]
  (runs[1].folder.checkpoints / "00000100").mkdir(parents=True)
  runs[0].log.write_text("it diverged\n")
  backend = Fake({"both": (1, 0, "")})
  console = rich.console.Console(file=io.StringIO())
  work = [schedule.Group(runs, ["both"], tmp_path / "both.log")]
  schedule.work(work, backend, 1, console, lambda: False)
  assert [run.status for run in runs] == ["failed", "done"]
  assert runs[0].reason == "it diverged"
  runs[0].log.unlink()
  runs[0].status = "not started"
  schedule.work(work, Fake({"both": (1, 0, "error: none\n")}), 1, console, lambda: False)
  assert (runs[0].status, runs[0].reason) == ("failed", "error: none")  # before it had a log


def test_a_sweep_that_is_stopped_asks_its_runs_and_starts_no_others(tmp_path):
  asked = iter([False] * 3)
  runs, backend, said = worked(
    tmp_path, {"a": (0, 40, ""), "b": (0, 100, "")}, 1, lambda: next(asked, True)
  )
  assert [run.status for run in runs] == ["stopped", "not started"]
  assert backend.started == ["a"] and "stopping: 1 runs save" in said


def test_the_eta_is_that_of_the_steps_left(tmp_path, monkeypatch):
  clock = iter([0.0, 10.0])
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 100) for n in "abc"]
  console = rich.console.Console(file=io.StringIO())
  monkeypatch.setattr(schedule.time, "perf_counter", lambda: next(clock))
  display = schedule._Display(runs, console)
  assert display._eta() == "unknown"
  runs[0].status, runs[1].status = "done", "failed"
  assert display._eta() == "0:10"  # 100 steps in 10 s, and only c is left


def test_steps_are_read_from_a_table_that_is_being_written(tmp_path):
  folder = RunFolder(tmp_path)
  assert run_summary.last_step(folder) == 0
  folder.metrics.write_text("step,return\n")
  assert run_summary.last_step(folder) == 0
  folder.metrics.write_text("step,return\n10,1\n20,2\n3")
  assert run_summary.last_step(folder) == 20


def test_facts_are_means_over_seeds(tmp_path):
  folder = RunFolder(tmp_path)
  (tmp_path / "config.json").write_text('{"algo": "sac", "env": "pendulum", "seeds": 2}')
  folder.metrics.write_text("step,random,return\n10,0,1\n20,0,1\n")
  (tmp_path / "evaluations.csv").write_text(
    "step,seed,eval/return,eval/return_std\n10,0,9,1\n10,1,1,1\n20,0,5,1\n20,1,3,1\n"
  )
  (tmp_path / "timing.csv").write_text(
    "step,seed,seconds\n10,0,1.5\n10,1,1.5\n20,0,2.5\n20,1,2.5\n"
  )
  found = run_summary.of(folder)
  assert found == ("sac", "pendulum", 2, 20, 4.0, 1.0, 6.0, 4.0)
  (tmp_path / "evaluations.csv").unlink()
  folder.metrics.unlink()
  assert np.isnan(run_summary.of(folder).last)


def test_a_process_is_stopped_and_its_words_are_kept(tmp_path):
  log = tmp_path / "log"
  script = "import time; print('ready', flush=True); time.sleep(60)"
  run = processes.Processes(1).start([sys.executable, "-c", script], log)
  end = time.monotonic() + 20
  while "ready" not in (log.read_text() if log.exists() else "") and time.monotonic() < end:
    time.sleep(0.05)
  assert run.poll() is None
  run.stop()
  run.kill()
  assert run.poll() == -signal.SIGTERM and schedule.last_line(log) == "ready"


def test_runs_share_an_accelerators_memory(monkeypatch):
  name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
  monkeypatch.delenv(name, raising=False)
  assert name not in processes.environment(1)
  assert processes.environment(3)[name] == "0.30"
  monkeypatch.setenv(name, "0.5")
  assert processes.environment(3)[name] == "0.5"


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path):
  folder = tmp_path / "sweep"
  swept = "--sweep.agent.updates_per_step=1,2"
  words = [*TINY, "--seeds=2", f"--logdir={folder}", swept, "--jobs=2"]
  done = sweep(*words)
  assert done.returncode == 0, done.stdout + done.stderr
  with open(folder / "sweep.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [(row["agent.updates_per_step"], row["status"], row["step"]) for row in rows] == [
    ("1", "done", "60"),
    ("2", "done", "60"),
  ]
  assert all(np.isfinite(float(row["last"])) for row in rows)
  config = json.loads((folder / "updates_per_step=2.0" / "config.json").read_text())
  assert config["seeds"] == 2 and config["config"]["agent"]["updates_per_step"] == 2
  assert (folder / "sweep.png").stat().st_size > 5000
  assert "trial" in (folder / "updates_per_step=1.0.log").read_text()
  lone = folder / "updates_per_step=1.0"
  assert not (lone / "logs.npz").exists(), "--norollouts did not arrive"
  again = sweep(*words)
  assert again.returncode == 0 and again.stdout.count("done before") == 2
  other, wanted = sweep(*words, "--config.agent.tau=0.5"), "the run has 0.005, requested 0.5"
  assert other.returncode == 2 and f"config.agent.tau: {wanted}" in other.stderr


@pytest.mark.slow
def test_a_sweep_is_stopped_and_resumed(tmp_path):
  folder = tmp_path / "sweep"
  words = [
    *TINY,
    "--config.steps=3000",
    f"--logdir={folder}",
    "--sweep.agent.updates_per_step=40,41",
  ]
  command = [sys.executable, "-m", "experiments.sweep", *words]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  first = RunFolder(folder / "updates_per_step=40.0")
  end = time.monotonic() + 120
  while run_summary.last_step(first) < 50 and time.monotonic() < end:
    time.sleep(0.1)
  process.send_signal(signal.SIGINT)
  said, _ = process.communicate(timeout=60)
  assert process.returncode == 130, said
  assert "stopping: 1 runs save" in said and "stopped; the same command resumes" in said
  assert "stopped by SIGTERM" in (folder / "updates_per_step=40.0.log").read_text()
  reached = run_summary.last_step(first)
  assert 50 <= reached < 3000 and list(first.checkpoints.iterdir())
  done = sweep(*words)
  assert done.returncode == 0, done.stdout + done.stderr
  steps = [int(line.split(",")[0]) for line in first.metrics.read_text().splitlines()[1:]]
  assert steps == list(range(10, 3001, 10)), "the resumed run is not that of one call"


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--sweep.agent.updates_per_step=1,2"], "--logdir is missing"),
    (["--logdir=x", "--algo=sac", "--sweep.algo=sac,mbpo"], "give the same; drop one"),
    (["--logdir=x", "--seeds=3", "--devices=2", "--sweep.trials=1,2"], "does not divide"),
    (["--logdir=x", "--sweep.trials=1,0"], "--sweep.trials=0 must be positive"),
  ],
)
@pytest.mark.slow
def test_bad_sweeps_end_with_a_sentence_and_status_two(words, message):
  done = sweep(*words)
  assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_explains_the_sweep_and_the_flags_of_train():
  done = sweep("--help", "--algo=sac")
  for text in ("--sweep.NAME", "--jobs", "--eval_episodes", "--config.agent.updates_per_step"):
    assert text in done.stdout, text
  assert "--[no]resume" not in done.stdout


def test_a_run_whose_files_are_damaged_has_failed_and_is_said(tmp_path):
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 20, status=schedule.DONE) for n in "ab"]
  for run in runs:
    run.folder.path.mkdir()
    (run.folder.path / "config.json").write_text('{"algo": "sac", "env": "pendulum"}')
    run.folder.metrics.write_text("step,random,return\n10,0,1\n20,0,2\n")
  runs[0].folder.metrics.write_text("step,random,return\n10,0,x\n20,0,2\n")
  found = results.rows(runs, {"a": {}, "b": {}})
  assert [row["status"] for row in found] == ["failed", "done"] and found[1]["last"] == 2.0
  assert "metrics.csv, line 2: return is 'x'" in results.failures(runs)[0]
  assert results.draw(tmp_path / "sweep.png", runs) == tmp_path / "sweep.png"
