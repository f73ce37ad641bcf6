"""Enabling x64 changes neither dtypes nor a bit of the numbers."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import x64_probe

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parents[2]


def run(*command, x64):
  env = {**os.environ, "JAX_ENABLE_X64": str(int(x64)), "PYTHONPATH": str(ROOT)}
  done = subprocess.run(
    [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=280
  )
  assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
  return done.stdout


def check(names):
  answer = json.loads(run(str(HERE.with_name("x64_probe.py")), names, x64=True))
  assert {name: leaves for name, leaves in answer["wide"].items() if leaves} == {}
  return answer


@pytest.mark.slow
def test_x64_changes_no_width_and_no_number():
  """Except for states of users' environments, which keep their own width."""
  answer = check("few")
  assert len(answer["wide"]) == 2 + 2 * 2 + 1
  expected, _ = x64_probe.plain_numbers()
  assert len(expected) > 90 and answer["numbers"] == json.loads(json.dumps(expected))


@pytest.mark.slow
def test_x64_changes_no_width_of_any_task_or_algorithm():
  assert len(check("all")["wide"]) > 40


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["sac", "pets"])
def test_a_run_resumes_with_x64_as_it_would_without(algo, tmp_path):
  """Its checkpoints are the same, so either process reads those of the other."""
  small = {
    "sac": "steps=60 init_steps=20 update_every=20 agent.hidden=8 agent.batch_size=8",
    "pets": "trials=3 model.hidden=8 model.weight_decay=0 planner.samples=20 planner.elites=4",
  }[algo].split()
  begin = ["-m", "experiments.train", f"--algo={algo}", "--env=pendulum", "--rollouts=false"]
  begin += ["--env.episode_length=10", "--video=false", "--eval_episodes=1", "--keep=9"]
  plain, other = tmp_path / "plain", tmp_path / "other"
  run(*begin, *(f"--config.{word}" for word in small), f"--logdir={plain}", x64=False)
  shutil.copytree(plain, other)
  run("-m", "experiments.train", f"--logdir={other}", "--resume", "--step=20", x64=True)
  rows = [(folder / "metrics.csv").read_text() for folder in (plain, other)]
  assert rows[0] == rows[1] and len(rows[0].splitlines()) > 2
