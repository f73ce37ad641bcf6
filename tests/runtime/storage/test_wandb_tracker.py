"""W&B receives the rows that the files receive."""

import json
import sys
from types import SimpleNamespace

import pytest

from experiments.command_line import cli
from experiments.train import __main__ as train
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.metrics import MetricsWriter
from mbrl_jax.runtime.storage.wandb_tracker import STEP, WandbTracker


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
