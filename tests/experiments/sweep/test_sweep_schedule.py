"""Scheduling the runs of a sweep: status, failures, stopping, estimated time, processes."""

from __future__ import annotations

import io
import signal
import sys
import time

import numpy as np
import pytest
import rich.console

from experiments.sweep import processes, results, schedule
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.run_folder import RunFolder


class FakeBackend:
  """Its processes end after two polls; ``ends`` has status, steps and log text by name."""

  def __init__(self, ends):
    self.ends, self.started, self.running, self.most = ends, [], 0, 0

  def start(self, command, log):
    self.started.append(command[0])
    return FakeProcess(self, command[0], log)

  def close(self):
    pass


class FakeProcess:
  def __init__(self, backend, name, log):
    self.backend, self.name, self.log, self.polls = backend, name, log, 2
    backend.running += 1
    backend.most = max(backend.most, backend.running)

  def poll(self):
    self.polls -= 1
    if self.polls > 0:
      return None
    self.backend.running -= 1
    status, steps, text = self.backend.ends[self.name]
    if steps:
      (self.log.with_suffix("") / "checkpoints" / f"{steps:08d}").mkdir(parents=True)
    self.log.write_text(text)
    return status

  def stop(self):
    pass

  def kill(self):
    pass


def run_all(folder, ends, jobs=2, stop=lambda: False):
  """Schedules a run for each name of ``ends``; returns runs, backend and output."""
  runs = [schedule.Run(n, RunFolder(folder / n), 100) for n in ends]
  backend, output = FakeBackend(ends), io.StringIO()
  console = rich.console.Console(file=output, width=200, soft_wrap=True)
  groups = [schedule.Group([run], [run.name], run.log) for run in runs]
  schedule.run_groups(groups, backend, jobs, console, stop)
  return runs, backend, output.getvalue()


@pytest.fixture(autouse=True)
def poll_without_sleep(monkeypatch):
  monkeypatch.setattr(schedule, "POLL_SECONDS", 0.0)


def test_a_run_that_counts_episodes_is_complete_once_all_seeds_are(tmp_path):
  run = schedule.Run("a", RunFolder(tmp_path), 400, 4)
  assert not run.complete
  Checkpoints(tmp_path / "checkpoints", keep=1).save(30, {"x": np.zeros(1)}, {}, None)
  rows = [(12, 0), (15, 1), (30, 0), (31, 1)]  # two seeds; the last row is after the checkpoint
  text = "".join(f"{step},{seed},1.0\n" for step, seed in rows)
  run.folder.metrics.write_text("step,seed,return\n" + text)
  assert not run.complete
  run.folder.metrics.write_text("step,seed,return\n" + text.replace("31", "29"))
  assert run.complete


def test_a_failed_run_does_not_stop_the_others(tmp_path):
  ends = {"a": (0, 100, ""), "b": (1, 40, "one\nerror: it broke\n\n"), "c": (0, 100, "")}
  runs, backend, output = run_all(tmp_path, ends)
  assert [run.status for run in runs] == ["done", "failed", "done"]
  assert runs[1].reason == "error: it broke" and backend.most == 2
  assert "failed        b: error: it broke" in output and "3/3 ended" in output
  assert results.failures(runs) == [f"b: error: it broke (log: {tmp_path / 'b.log'})"]


def test_a_run_is_done_when_its_last_step_is_saved(tmp_path):
  run_all(tmp_path, {"a": (0, 100, ""), "b": (1, 40, "error")})
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 100) for n in "ab"]
  assert [run.saved for run in runs] == [100, 40]
  assert [run.complete for run in runs] == [True, False]
  runs, *_ = run_all(tmp_path, {"b": (0, 99, "")})
  assert runs[0].status == "stopped"  # exit status 0, but incomplete


def test_runs_of_one_process_have_their_own_status(tmp_path):
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 100) for n in "ab"]
  (runs[1].folder.checkpoints / "00000100").mkdir(parents=True)
  runs[0].log.write_text("it diverged\n")
  backend = FakeBackend({"both": (1, 0, "")})
  console = rich.console.Console(file=io.StringIO())
  groups = [schedule.Group(runs, ["both"], tmp_path / "both.log")]
  schedule.run_groups(groups, backend, 1, console, lambda: False)
  assert [run.status for run in runs] == ["failed", "done"]
  assert runs[0].reason == "it diverged"
  runs[0].log.unlink()
  runs[0].status = "not started"
  backend = FakeBackend({"both": (1, 0, "error: none\n")})
  schedule.run_groups(groups, backend, 1, console, lambda: False)
  assert (runs[0].status, runs[0].reason) == ("failed", "error: none")  # from the group's log


def test_a_stopped_sweep_starts_no_further_runs(tmp_path):
  stops = iter([False] * 3)
  runs, backend, output = run_all(
    tmp_path, {"a": (0, 40, ""), "b": (0, 100, "")}, 1, lambda: next(stops, True)
  )
  assert [run.status for run in runs] == ["stopped", "not started"]
  assert backend.started == ["a"] and "stopping: 1 runs save" in output


def test_the_eta_is_the_time_of_the_remaining_steps(tmp_path, monkeypatch):
  clock = iter([0.0, 10.0])
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 100) for n in "abc"]
  console = rich.console.Console(file=io.StringIO())
  monkeypatch.setattr(schedule.time, "perf_counter", lambda: next(clock))
  display = schedule._Display(runs, console)
  assert display._eta() == "unknown"
  runs[0].status, runs[1].status = "done", "failed"
  assert display._eta() == "0:10"  # 100 steps in 10 s; only c remains


def test_a_process_is_stopped_and_its_output_is_logged(tmp_path):
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


def test_processes_share_the_memory_of_an_accelerator(monkeypatch):
  name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
  monkeypatch.delenv(name, raising=False)
  assert name not in processes.environment(1)
  assert processes.environment(3)[name] == "0.30"
  monkeypatch.setenv(name, "0.5")
  assert processes.environment(3)[name] == "0.5"
