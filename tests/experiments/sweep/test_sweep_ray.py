"""Sweeps as Ray tasks: locally, on a cluster, and without a cluster."""

import importlib.util
import os
import sys
import time
from types import SimpleNamespace

import pytest

from experiments.command_line.cli import UsageError
from experiments.sweep import ray_tasks, schedule


def test_without_ray_the_error_has_the_command_to_install_it(monkeypatch):
  monkeypatch.setitem(sys.modules, "ray", None)
  with pytest.raises(UsageError, match="pip install ray"):
    ray_tasks.RayTasks(1)


def test_a_task_that_goes_on_is_asked_to_stop_again(monkeypatch):
  asked, now = [], [0.0]
  monkeypatch.setattr(ray_tasks.time, "monotonic", lambda: now[0])
  ray = SimpleNamespace(
    wait=lambda references, timeout: ([], references),
    cancel=lambda reference, force: asked.append(now[0]),
  )
  run = ray_tasks.RayRun(ray, "task")
  assert run.poll() is None and asked == []
  run.stop()
  for now[0] in (1.0, 5.5, 6.0, 11.0):
    assert run.poll() is None
  assert asked == [0.0, 5.5, 11.0]


needs_ray = pytest.mark.skipif(
  importlib.util.find_spec("ray") is None, reason="needs the extra 'ray'"
)


@pytest.mark.slow
@needs_ray
def test_ray_runs_and_stops_tasks(tmp_path):
  backend = ray_tasks.RayTasks(1)
  try:
    script = (
      "import os; print('cpus', 'CUDA_VISIBLE_DEVICES' in os.environ); raise SystemExit(3)"
    )
    run = backend.start([sys.executable, "-c", script], tmp_path / "a.log")
    while run.poll() is None:
      time.sleep(0.1)
    assert run.poll() == 3
    output = (tmp_path / "a.log").read_text().split()
    assert output == ["cpus", str("CUDA_VISIBLE_DEVICES" in os.environ)]
    script = (
      "import signal, sys, time\n"
      "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
      "print('ready', flush=True); time.sleep(60)"
    )
    run = backend.start([sys.executable, "-c", script], tmp_path / "b.log")
    while schedule.last_line(tmp_path / "b.log") != "ready":
      time.sleep(0.1)
    run.stop()
    while run.poll() is None:
      time.sleep(0.1)
    assert schedule.last_line(tmp_path / "b.log") == "saved"
  finally:
    backend.close()


@pytest.mark.slow
@needs_ray
def test_a_cluster_of_two_on_loopback_runs_one_task_each(tmp_path):
  from ray.cluster_utils import Cluster

  cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
  try:
    cluster.add_node(num_cpus=1)
    backend = ray_tasks.RayTasks(2, cluster.address)
    # Each waits for the other: they run at the same time, so on both nodes.
    script = (
      "import pathlib, sys, time; mine, other = map(pathlib.Path, sys.argv[1:]); mine.touch()\n"
      "while not other.exists(): time.sleep(0.1)"
    )
    names = [str(tmp_path / name) for name in ("one", "two")]
    runs = [
      backend.start([sys.executable, "-c", script, *order], tmp_path / f"{i}.log")
      for i, order in enumerate((names, names[::-1]))
    ]
    end = time.monotonic() + 60
    while None in [run.poll() for run in runs] and time.monotonic() < end:
      time.sleep(0.1)
    assert [run.poll() for run in runs] == [0, 0]
    backend.close()
  finally:
    cluster.shutdown()


@pytest.mark.slow
@needs_ray
def test_an_address_without_a_cluster_is_refused():
  with pytest.raises(UsageError, match=r"--ray_address=127\.0\.0\.1:1: "):
    ray_tasks.RayTasks(1, "127.0.0.1:1")
