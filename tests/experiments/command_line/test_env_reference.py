"""Every program refuses a broken task of the user with one sentence and writes nothing."""

import dataclasses

import numpy as np
import pytest
from absl import flags

from experiments.command_line import cli, env_reference
from experiments.plan import __main__ as plan

HEAD = "import sys, numpy as np\nfrom broken_tasks import *\n"
BROKEN = {
  "x = 1\nx =": r"mine.py, line 2: SyntaxError: invalid syntax",
  "import sys\nsys.exit(0)": r"mine.py, line 2: SystemExit: 0",
  "raise KeyboardInterrupt": r"mine.py, line 1: KeyboardInterrupt",
  "def make_it(): return make_it()": r"mine.py, line 1: RecursionError",
  "import os\nos.chdir('/')\ndef make_it(): pass": r"mine.py changes the working folder",
  "def make_it(): return {}": r"mine.py:make_it returns a dict without spec, reset",
  "class make_it:\n  spec = reset = step = observe = pose = 1": r"its spec is a int",
  HEAD + "def make_it(): return spec_with(obs_dim=3)(point())": r"reset\(...\).obs is float",
  HEAD + "def make_it(): return spec_with(action_high=np.float32([np.inf]))(point())": "finite",
  HEAD + "def make_it(): return spec_with(reward=lambda o, a, n: n)(point())": "reward is floa",
  HEAD + "def make_it(): return spec_with(reward=lambda o, a, n: None)(point())": "a NoneType",
  HEAD + "def make_it(): return Growing(point())": "a step changes the structure of the state",
  HEAD + "def make_it(): return spec_with(reward=lambda o, a, n:\n  sys.exit())(point())": (
    r"SystemExit \(mine.py, line 4\)"
  ),
}  # fmt: skip


@pytest.mark.parametrize(
  ("reference", "name", "message"),
  [
    *(
      (ref, "physics", "--env.physics: --env selects the task") for ref in ("pendulum", "a.py")
    ),
    ("pendulum", "name", "--env.name: --env selects the task"),
    ("mine.py", "reference", "--env.reference: --env selects the task"),
    ("gymnasium:Pendulum-v1", "timeout", "does not accept --env.timeout='x': "),
  ],
)
def test_unknown_arguments_of_a_task_are_refused_with_one_sentence(reference, name, message):
  if ":" in reference:
    pytest.importorskip("gymnasium")
  with pytest.raises(cli.UsageError, match=message) as refused:
    env_reference.make(reference, "auto", {name: "x"})
  assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", BROKEN)
def test_violations_are_listed_one_per_line(text, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "mine.py").write_text(text)
  with pytest.raises(cli.UsageError, match=BROKEN[text]) as refused:
    env_reference.make_checked("mine.py")
  assert len(str(refused.value).splitlines()) <= 4


def test_planning_creates_no_folder_for_a_refused_task(tmp_path):
  (tmp_path / "mine.py").write_text(HEAD + "def make_it(): return Growing(point())")
  values = flags.FlagValues()
  plan.define(values)
  values(["plan", f"--env={tmp_path / 'mine.py'}", f"--out={tmp_path / 'plan'}"])
  with pytest.raises(cli.UsageError, match="a step changes the structure"):
    plan.main(values, {"config": {}, "env": {}})
  assert not (tmp_path / "plan").exists()


def test_infinite_action_bounds_are_refused_for_every_task(monkeypatch):
  env = env_reference.make("pendulum")
  wide = dataclasses.replace(env, spec=env.spec._replace(action_high=np.float32([np.inf])))
  monkeypatch.setattr(env_reference, "make_env", lambda *given, **more: wide)
  with pytest.raises(cli.UsageError, match="action bounds must be finite"):
    env_reference.make_checked("pendulum")
