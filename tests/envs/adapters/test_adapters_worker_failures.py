"""Failures and the end of worker processes; needs no Gymnasium."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import worker_walks as walks
from worker_helpers import begin, gone, pids, step

from mbrl_jax import from_gymnasium
from mbrl_jax.ops.env_failure import failure


@pytest.mark.parametrize(
  ("kind", "message"),
  [
    ("Raising", r"Raising raised RuntimeError (step, worker 2): the wheel came off"),
    ("Leaving", r"Leaving raised SystemExit (step, worker 2): 3"),
    ("Exiting", r"Exiting ended its process with exit code 4 (step, worker 2)."),
    ("Crashing", r"Crashing's process was killed by SIGSEGV (step, worker 2)."),
    ("Killed", r"Killed's process was killed by SIGKILL (step, worker 2): is the machine"),
    ("Sleeping", r"Sleeping did not answer within 0.5 s (step, worker 2)."),
    ("Holding", r"Holding did not answer within 0.5 s (step, worker 2)."),
  ],
)
def test_a_failure_names_worker_and_operation_and_spares_the_others(adapt, kind, message):
  env = adapt(getattr(walks, kind), workers=2, timeout=0.5)
  states, _ = step(env, begin(env, 4), np.zeros(4))
  before = pids(env)
  with pytest.raises(Exception, match="environment failed") as caught:
    step(env, states, [0, 0, 0, 1])
  assert failure(caught.value).startswith(message)
  assert before[0] in pids(env)
  if kind not in ("Raising", "Leaving"):
    assert gone(before[1])
  _, t = step(env, states, np.zeros(4))  # lost states are replayed
  assert (t.next_obs[:, 1] == 2).all() and not t.truncated.any()


def test_a_failed_construction_in_a_worker_is_reported(adapt):
  env = adapt(walks.make_only_here, workers=2)
  with pytest.raises(Exception, match="environment failed") as caught:
    begin(env, 2)
  message = r"make_only_here raised OSError (construction, worker 1): no second licence"
  assert failure(caught.value) == message
  assert not pids(env)


def test_a_failed_process_start_is_reported(adapt, monkeypatch):
  env, popen, started = adapt(walks.EndlessWalk, workers=2), subprocess.Popen, []

  def start(*arguments, **keywords):
    if len(started) == 1:
      raise BlockingIOError(11, "Resource temporarily unavailable")
    started.append(popen(*arguments, **keywords))
    return started[0]

  monkeypatch.setattr(subprocess, "Popen", start)
  with pytest.raises(Exception, match="environment failed") as caught:
    begin(env, 2)
  assert failure(caught.value).startswith(
    "EndlessWalk: a worker process cannot be started: [Errno 11] Resource"
  )
  assert gone(started[0].pid) and not pids(env)
  monkeypatch.undo()
  assert (step(env, begin(env, 2), np.zeros(2))[1].next_obs[:, 1] == 1).all()


def test_processes_of_an_environment_end_with_its_worker(adapt):
  env = adapt(walks.SpawningWalk, workers=1)
  states, t = step(env, begin(env, 1), np.zeros(1))
  simulator = int(t.reward[0])
  os.kill(simulator, 0)
  with pytest.raises(Exception, match="killed by SIGSEGV"):
    step(env, states, np.ones(1))
  assert gone(simulator)


def test_a_worker_killed_from_outside_is_a_failure(adapt):
  env = adapt(walks.EndlessWalk, workers=2)
  states = begin(env, 2)
  os.kill(pids(env)[0], signal.SIGTERM)
  assert gone(pids(env)[0])
  with pytest.raises(Exception, match="killed by SIGTERM"):
    step(env, states, np.zeros(2))
  assert (step(env, states, np.zeros(2))[1].next_obs[:, 1] == 1).all()


def test_closing_closes_every_instance_and_ends_the_workers(tmp_path, monkeypatch):
  monkeypatch.setenv("CLOSED", str(tmp_path))
  env = from_gymnasium(walks.ClosingWalk, workers=2)
  begin(env, 4)
  processes = pids(env)
  env.close()
  env.close()
  assert all(map(gone, processes)) and not pids(env)
  names = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
  assert sorted(map(names.count, map(str, processes))) == [2, 2]


def test_a_deleted_environment_ends_its_workers(tmp_path, monkeypatch):
  monkeypatch.setenv("CLOSED", str(tmp_path))
  env = from_gymnasium(walks.ClosingWalk, workers=2)
  env.hosts.reset(np.ones(2, bool), np.arange(2, dtype=np.uint32), np.zeros((2, 2), np.uint32))
  processes = pids(env)
  del env
  assert all(map(gone, processes)) and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
  "ending", ["raise", "interrupt", "kill", pytest.param("hang", marks=pytest.mark.slow)]
)
def test_workers_end_with_the_program_however_it_ends(ending):
  here = Path(__file__).parent
  roots = [str(here), str(here.parents[2])]
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
  command = [sys.executable, str(here / "worker_program.py"), ending]
  program = subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=environment,
    process_group=0,
  )
  lines = [program.stdout.readline() for _ in range(3 if ending == "hang" else 2)]
  assert lines[0] == "started\n", program.stderr.read()
  workers = [int(pid) for line in lines[1:] for pid in line.split()]
  assert len(workers) == (3 if ending == "hang" else 2)
  if ending == "hang":
    time.sleep(0.5)
    program.kill()
  out, errors = program.communicate(timeout=60)
  assert out == "", "a worker ran the main program"
  assert all(map(gone, workers))
  assert errors.count("Traceback") == (ending in ("raise", "interrupt")), errors
