"""The template of a user's task: short, valid, and accepted by every program."""

import ast
import json
import shutil

import jax
import numpy as np
import pytest
from programs import ROOT, program

from experiments import job, random_rollout, run_settings
from experiments.command_line import cli, env_reference
from mbrl_jax import check_env, load_task
from mbrl_jax.runtime.checks import OK
from mbrl_jax.runtime.rendering import video

TEMPLATE = ROOT / "experiments" / "examples" / "own_task.py"
TINY = {
  "trials": 1,
  "model.hidden": (8,),
  "model.weight_decay": (1e-4, 1e-4),
  "planner.samples": 10,
  "planner.elites": 2,
  "planner.horizon": 3,
  "planner.particles": 5,
}


@pytest.fixture(scope="module")
def crane():
  return load_task(f"{TEMPLATE}:make_crane", "mujoco")


@pytest.fixture
def copy(tmp_path):
  return shutil.copy(TEMPLATE, tmp_path / "mine.py")


def settings_of(env, **overrides):
  return run_settings.make_settings(
    algo="pets",
    env=env,
    preset="cpu",
    physics="mujoco",
    seed=0,
    seeds=1,
    env_overrides=overrides,
    config_overrides=TINY,
  )


def test_the_template_has_under_forty_lines_of_code():
  source = TEMPLATE.read_text(encoding="utf-8")
  shown = set(range(1, len(source.splitlines()) + 1))
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
      shown -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
  code = [line for n, line in enumerate(source.splitlines(), 1) if n in shown and line.strip()]
  assert len(code) < 40, len(code)


def test_the_template_passes_every_check(crane):
  assert {finding.level for finding in check_env(crane, steps=60)} == {OK}


def test_the_reward_agrees_with_the_model(crane):
  """The best reward is at rest with the load on the mark, 1 m from the start."""
  still = lambda x: np.float32([x, 0, 0, 0])
  reward = lambda x: float(crane.spec.reward(still(x), np.zeros(1), still(x)))
  assert reward(1.0) == 1.0 and reward(0.0) == pytest.approx(np.exp(-4))
  mark, load = crane.model.site_pos[0], crane.model.body("load")
  assert mark[0] == 1.0 and mark[2] == crane.model.geom_pos[load.geomadr[0] + 1][2]


def test_the_template_is_rendered(crane):
  episode = random_rollout.run(crane, "random", steps=3)
  frames = video.render(crane, episode.poses, width=64, height=36)
  assert frames.shape == (3, 36, 64, 3) and len(np.unique(frames)) > 10


@pytest.mark.slow
def test_pets_trains_on_the_template():
  settings = settings_of(f"{TEMPLATE}:make_crane", episode_length="10", dt="0.02")
  assert settings["env_overrides"] == {"episode_length": 10, "dt": 0.02}
  task = job.build(json.loads(json.dumps(settings)))
  assert (task.env.spec.name, task.env.spec.dt, task.total_steps) == ("crane", 0.02, 20)
  state, step = task.init(), task.step()
  for _ in range(task.total_steps // task.chunk):
    state, metrics = step(state)
  assert int(state.steps) == 20
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(metrics["transition"].reward))


def test_a_changed_or_moved_file_is_refused_with_one_sentence(copy):
  settings = settings_of(f"{copy}:make_crane")
  job.build(settings)
  copy.write_text(copy.read_text().replace("-0.01 *", "-0.02 *") + "\n")
  with pytest.raises(cli.UsageError, match=r"mine.py:make_crane .* has changed since"):
    job.build(settings)
  copy.rename(copy.with_name("other.py"))
  with pytest.raises(cli.UsageError, match=r"There is no file .*mine.py") as error:
    job.build(settings)
  assert "\n" not in str(error.value)
  with pytest.raises(cli.UsageError, match=r"There is no file .*mine.py"):
    settings_of(f"{copy}:make_crane")


def test_unknown_arguments_are_named(copy):
  with pytest.raises(cli.UsageError, match=r"--env.dtt is not known. Did you mean 'dt'"):
    env_reference.make(str(copy), "mujoco", {"dtt": "0.02"})
  with pytest.raises(cli.UsageError, match=r"--physics='mjxx' is not known"):
    env_reference.make("cartpole", "mjxx")


def test_folders_are_named_after_the_task():
  assert env_reference.label("a/b/mine.py:make_it") == "mine_make_it"
  assert (
    env_reference.label("mine.py") == "mine" and env_reference.label("cartpole") == "cartpole"
  )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_program_accepts_the_template(copy, tmp_path):
  env, run = f"--env={copy}:make_crane", tmp_path / "run"
  tiny = [f"--config.{name}={value}" for name, value in TINY.items()]
  program("train", env, *tiny, "--env.episode_length=10", f"--logdir={run}", "--novideo")
  program("evaluate", f"--run={run}", "--episodes=1")
  assert "wrote" in program("render", f"--run={run}", f"--out={tmp_path / 'run.gif'}")
  program("train", f"--logdir={run}", "--resume", "--step=10", "--novideo")
  assert "wrote" in program("render", env, "--steps=5", f"--out={tmp_path / 'alone.gif'}")
  small = ["--samples=8", "--horizon=3", "--steps=4", "--novideo"]
  program("plan", env, *small, f"--out={tmp_path / 'plan'}")
  assert "wrong" not in program("check_env", env, "--steps=20")
  copy.write_text(copy.read_text() + "\n")
  for arguments in (["evaluate", f"--run={run}"], ["train", f"--logdir={run}", "--resume"]):
    assert "has changed since the run was started" in program(*arguments, status=2)
