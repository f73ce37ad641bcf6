"""W&B receives the rows that the files receive."""

import json
import os
import pathlib
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

from experiments.command_line import cli
from experiments.train import __main__ as train
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.metrics import MetricsWriter
from mbrl_jax.runtime.storage.wandb_tracker import STEP, WandbTracker

ROOT = pathlib.Path(__file__).resolve().parents[2]
OFFLINE = """
import pathlib, sys
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.metrics import MetricsWriter
from mbrl_jax.runtime.storage.wandb_tracker import WandbTracker

folder = run_folder.create(pathlib.Path(sys.argv[1]), {"algo": "sac", "seed": 0})
for step in (200, 400):
  writer = MetricsWriter(folder.path, tags="seed{seed:.0f}/", tracker=WandbTracker(folder, "p"))
  writer.write(step, {"seed": 1, "return": step / 100}, {"seconds": 3.0})
  writer.close()
"""


class FakeRun:
  def __init__(self, id):
    self.id, self.logged, self.metrics, self.finished = id or "abc", [], [], False

  def define_metric(self, name, step_metric=None):
    self.metrics.append((name, step_metric))

  def log(self, values):
    self.logged.append(values)

  def finish(self):
    self.finished = True


@pytest.fixture
def wandb(monkeypatch):
  """A fake library that records the arguments of ``init``."""
  module = SimpleNamespace(calls=[], runs=[], Error=type("Error", (Exception,), {}))

  def init(**arguments):
    module.calls.append(arguments)
    module.runs.append(FakeRun(arguments["id"]))
    return module.runs[-1]

  module.init = init
  monkeypatch.setitem(sys.modules, "wandb", module)
  return module


@pytest.fixture
def folder(tmp_path):
  return run_folder.create(tmp_path / "run", {"algo": "sac", "seed": 0})


def test_all_rows_are_logged_over_environment_steps(wandb, folder):
  writer = MetricsWriter(folder.path, tags="seed{seed:.0f}/", tracker=WandbTracker(folder, "p"))
  writer.write(200, {"seed": 1, "return": 2.0}, {"seconds": 3.0})
  writer.evaluation(300, {"seed": 1, "eval/return": 5.0})
  writer.close()
  (run,) = wandb.runs
  assert run.metrics == [(STEP, None), ("*", STEP)]
  assert run.logged == [
    {STEP: 200, "seed1/return": 2.0, "seed1/timing/seconds": 3.0},
    {STEP: 300, "seed1/eval/return": 5.0},
  ]
  assert run.finished
  call = wandb.calls[0]
  assert (call["project"], call["name"], call["config"]["algo"]) == ("p", "run", "sac")


def test_a_resumed_run_continues_the_same_wandb_run(wandb, folder):
  for _ in range(2):
    WandbTracker(folder, "p").close()
  assert [call["id"] for call in wandb.calls] == [None, "abc"]
  assert json.loads((folder.path / "wandb.json").read_text()) == {"id": "abc"}


def test_a_refusal_is_one_line(wandb, folder):
  def refuse(**_):
    raise wandb.Error("no key\nlog in")

  wandb.init = refuse
  with pytest.raises(cli.UsageError) as error:
    train._tracker(folder, "p")
  assert str(error.value) == "--wandb: W&B refuses the project 'p': no key log in"


def test_a_missing_extra_is_reported_before_the_run(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, "wandb", None)
  with pytest.raises(cli.UsageError, match=r"--wandb: .*pip install \"mbrl_jax\[wandb\]\""):
    train._check_wandb()


def records(path):
  """Yields what W&B has written to its log of one offline run."""
  from wandb.proto.wandb_internal_pb2 import Record

  data, at = path.read_bytes(), 7  # after the header each record has its sum, size and kind
  while at < len(data):
    _, size, whole = struct.unpack_from("<IHB", data, at)
    assert whole == 1, "a record is split: the run is larger than a block"
    yield Record.FromString(data[at + 7 : at + 7 + size])
    at += 7 + size


@pytest.mark.slow
def test_the_library_itself_keeps_offline_what_it_is_told(tmp_path):
  """It starts a process of its own, and writes all down when the program ends."""
  pytest.importorskip("wandb", reason="needs the extra 'wandb'")
  environ = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
  environ |= {"WANDB_MODE": "offline", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
  command = [sys.executable, "-c", OFFLINE, str(tmp_path / "run")]
  done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240)
  assert done.returncode == 0, done.stderr[-3000:]
  logs = sorted((tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb"))
  known = json.loads((tmp_path / "run/wandb.json").read_text())["id"]
  history = []
  for log in logs:
    kept = list(records(log))
    (run,) = [record.run for record in kept if record.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_id, run.display_name) == ("p", known, "run")
    rows = [record.history for record in kept if record.WhichOneof("record_type") == "history"]
    for row in rows:
      values = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row.item}
      history.append({k: v for k, v in values.items() if not k.startswith("_")})
  assert history == [
    {STEP: step, "seed1/return": step / 100, "seed1/timing/seconds": 3.0} for step in (200, 400)
  ]
