"""Workers of the benchmark: failures, time limits and environment variables."""

import time

import pytest

from experiments.benchmark import request as requests
from experiments.benchmark.peers.worker import (
  Interrupted,
  Worker,
  WorkerDied,
  WorkerError,
  WorkerTimeout,
)

PROBE = "tests.experiments.benchmark.worker_probe"


def test_worker_continues_after_a_failed_job():
  with Worker("experiments.benchmark.peers.mbrl_lib") as worker:
    with pytest.raises(WorkerError, match="KeyError: 'dance'"):
      worker.call("dance")
    assert worker.call("memory")["now"] > 1


def test_worker_that_cannot_start_is_reported():
  with (
    Worker("experiments.benchmark.peers.no_such_module") as worker,
    pytest.raises(WorkerDied, match="ended with exit status 1"),
  ):
    worker.call("memory")


@pytest.mark.parametrize(
  ("script", "message"),
  [
    (None, "cannot be started: No such file or directory"),
    ("no program", "cannot be started: Exec format error"),
    ("#!/bin/sh\necho 'it lacks this' >&2; exit 3\n", "exit status 3: it lacks this"),
    ("#!/bin/sh\nread job; echo junk\n", "'junk' is not a valid answer"),
    ("#!/bin/sh\nread job; echo '[1]'\n", r"'\[1\]' is not a valid answer"),
    ("#!/bin/sh\nsleep 60\n", "no answer within 1 s"),
    ("#!/bin/sh\nprintf junk; sleep 60\n", "'junk' is not a valid answer"),
  ],
)
def test_broken_peer_python_is_reported_before_any_measurement(
  script, message, tmp_path, monkeypatch
):
  python = tmp_path / "python"
  if script:
    python.write_text(script)
    python.chmod(0o755)
  monkeypatch.setattr(requests, "START_TIMEOUT", 1.0)
  with pytest.raises(WorkerError, match=f"--peer_python={python}: .*{message}"):
    requests.Request(peer="mbrl", peer_python=str(python)).check_peer()


def test_worker_that_dies_is_reported():
  with Worker(PROBE) as worker, pytest.raises(WorkerDied, match="exit status 7"):
    worker.call("die", status=7)


def test_worker_that_exceeds_its_timeout_is_killed():
  with Worker(PROBE) as worker, pytest.raises(WorkerTimeout, match="'sleep'"):
    worker.call("sleep", timeout=0.3, seconds=60)


def test_stop_interrupts_the_wait_for_a_worker():
  start = time.monotonic()
  stop = lambda: time.monotonic() > start + 0.3
  with Worker(PROBE, stop=stop) as worker, pytest.raises(Interrupted):
    worker.call("sleep", seconds=60)


def test_worker_sees_the_requested_number_of_devices(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--xla_mine=1")
  with Worker(PROBE, devices=3) as worker:
    value = worker.call("environment", name="XLA_FLAGS")["value"]
  assert value == "--xla_mine=1 --xla_force_host_platform_device_count=3"
  with Worker(PROBE) as worker:
    assert worker.call("environment", name="XLA_FLAGS")["value"] == "--xla_mine=1"
