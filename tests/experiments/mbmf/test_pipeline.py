"""The whole pipeline with its true commands, at the smallest sizes."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time

import pytest
from programs import ROOT, program

from mbrl_jax.runtime.storage.checkpoint import Checkpoints

SHORT = "env.episode_length=15"
SIZES = {
  "random": ("episodes=3", SHORT),
  "model": (
    SHORT,
    *("config.steps=60", "config.update_every=30", "config.planner.samples=8"),
    *("config.planner.horizon=3", "config.model.hidden=(8,)", "config.fit.epochs=2"),
  ),
  "rollouts": ("episodes=2", "min_return=-1000"),
  "imitation": (
    SHORT,
    *("config.steps=20", "config.update_every=10", "config.holdout=5", "config.epochs=2"),
  ),
  "hybrid": (SHORT, "config.batch=60", "config.steps=120", "envs=2"),
  "model_free": (SHORT, "config.batch=60", "config.steps=120", "envs=2"),
}
TINY = [
  "--agent=swimmer",
  *(f"--set={stage}:{flag}" for stage, given in SIZES.items() for flag in given),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_pipeline_makes_all_stages_and_pictures(tmp_path):
  text = program("mbmf", *TINY, f"--out={tmp_path}")
  assert "stage 6 of 6" in text
  for name in ("comparison", "losses", "forward"):
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
    with open(tmp_path / f"{name}.csv", newline="") as file:
      assert len(list(csv.DictReader(file))) > 1
  with open(tmp_path / "comparison.csv", newline="") as file:
    curves = {row["curve"]: int(row["step"]) for row in csv.DictReader(file)}
  # The last point of each; the hybrid's begins after the steps of the stages before it.
  assert curves["model-free"] == 120
  assert curves["hybrid"] > 120 + curves["model-based"]
  assert "comparison" in (tmp_path / "report.html").read_text()
  again = program("mbmf", *TINY, f"--out={tmp_path}")
  assert again.count("done before") == 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stopped_stage_is_resumed(tmp_path):
  words = [*TINY, "--stages=model_free", "--set=model_free:config.steps=12000"]
  words += ["--set=model_free:checkpoint_every=2", f"--out={tmp_path}"]
  command = [sys.executable, "-m", "experiments.mbmf", *words]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  checkpoints = Checkpoints(tmp_path / "seed0" / "model_free" / "checkpoints")
  end = time.monotonic() + 120
  while not checkpoints.steps() and time.monotonic() < end:
    time.sleep(0.1)
  process.send_signal(signal.SIGINT)
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 130, output
  assert "stopped in stage model_free of seed 0; the same command goes on there" in output
  reached = max(checkpoints.steps())
  assert 0 < reached < 12000
  text = program("mbmf", *words)
  assert "--resume" in text and max(checkpoints.steps()) == 12000
  assert "done before" in program("mbmf", *words)
