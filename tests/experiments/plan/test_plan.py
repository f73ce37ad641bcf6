"""Planning from the command line: episodes, output files and refusals."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from plan_calls import call, parse, rows

from experiments.command_line import cli
from experiments.plan import __main__ as plan
from experiments.plan.options import build
from experiments.plan.setup import make_keywords, parse_cost

SLIDER = """
<mujoco model="a slider"><option timestep="0.01"/><worldbody>
  <body name="block"><joint name="slide" type="slide" axis="1 0 0" damping="1"/>
    <geom size=".1" mass="1"/><site name="nose" pos=".1 0 0"/></body></worldbody>
  <actuator><motor joint="slide" ctrlrange="-2 2"/></actuator>
  <sensor><jointpos name="place" joint="slide"/><jointvel name="speed" joint="slide"/></sensor>
  <keyframe><key name="aside" qpos="-0.5"/></keyframe>
</mujoco>"""
TASK = """
from mbrl_jax.envs import make_env

def make_task(physics="auto"):
  return make_env("linear_quadratic", physics, episode_length=4)
"""
SMALL = ["--samples=16", "--horizon=5", "--steps=6", "--traces=3"]


def test_episodes_write_their_files_and_numbers(tmp_path, capsys):
  assert call("--env=pendulum", *SMALL, f"--out={tmp_path / 'new'}", "--episodes=2") == 0
  folder, output = tmp_path / "new", capsys.readouterr().out
  assert (folder / "curves.png").stat().st_size > 5000
  assert list(folder.glob("video.*"))
  table = rows(folder)
  assert [(row["episode"], row["step"]) for row in table][5:7] == [(1, 6), (2, 7)]
  assert all(row["plan_seconds"] > 0 and row["iterations"] == 2 for row in table)
  summary = json.loads((folder / "summary.json").read_text())
  totals = [sum(r["reward"] for r in table if r["episode"] == n) for n in (1, 2)]
  assert summary["returns"] == pytest.approx(totals)
  assert summary["steps"] == 12 and 0 <= summary["misses"] <= 12
  assert summary["plans_per_second"] >= summary["plans_per_second_p99"] > 0
  assert summary["settings"]["keywords"]["samples"] == 16
  for text in ("compiled the planner", "real-time factor", "p99", "misses", "wrote"):
    assert text in output, text


def test_scan_and_step_loops_agree(tmp_path):
  arguments = ["--env=linear_quadratic", *SMALL, "--novideo", "--set", "alpha=0.2"]
  assert call(*arguments, f"--out={tmp_path / 'step'}") == 0
  assert call(*arguments, f"--out={tmp_path / 'scan'}", "--loop=scan") == 0
  stepped, scanned = rows(tmp_path / "step"), rows(tmp_path / "scan")
  assert len(stepped) == len(scanned) == 6
  for name in ("reward", "value", "return", "time", "iterations"):
    np.testing.assert_allclose(
      [row[name] for row in stepped], [row[name] for row in scanned], rtol=1e-4, err_msg=name
    )


@pytest.fixture
def slider(tmp_path):
  path = tmp_path / "slider.xml"
  path.write_text(SLIDER)
  return [f"--mjcf={path}", "--keyframe=aside", "--samples=64", "--horizon=15", "--steps=40"]


def test_an_mjcf_model_is_moved_to_its_target(slider, tmp_path):
  arguments = ["--cost=place:1:0.3,speed:0.01", "--dt=0.05", "--novideo", "--trace=nose"]
  assert call(*slider, *arguments, f"--out={tmp_path / 'out'}") == 0
  rewards = [row["reward"] for row in rows(tmp_path / "out")]
  assert rewards[0] < -0.5 and max(rewards[-5:]) > -0.01
  settings = json.loads((tmp_path / "out" / "summary.json").read_text())["settings"]
  assert settings["env"] == "a slider" and settings["dt"] == pytest.approx(0.05)


@pytest.mark.slow
def test_plant_and_model_can_have_different_simulators(slider, tmp_path):
  arguments = ["--cost=place:1:0.3", "--dt=0.05", "--model_physics=mjx", "--traces=4"]
  assert call(*slider, *arguments, f"--out={tmp_path / 'out'}") == 0
  rewards = [row["reward"] for row in rows(tmp_path / "out")]
  assert rewards[0] < -0.5 and max(rewards[-5:]) > -0.01
  assert list((tmp_path / "out").glob("video.*"))


def test_a_task_can_come_from_a_python_file(tmp_path):
  (tmp_path / "mine.py").write_text(TASK)
  arguments = [f"--env={tmp_path / 'mine.py'}:make_task", "--samples=8", "--horizon=3"]
  assert call(*arguments, "--novideo", f"--out={tmp_path / 'out'}") == 0
  assert len(rows(tmp_path / "out")) == 4


@pytest.mark.parametrize(
  ("arguments", "env", "message"),
  [
    (["--cost=plaze:1"], {}, "sensor='plaze' is not known. Did you mean 'place'"),
    (["--cost=place:1", "--keyframe=asid"], {}, "Did you mean 'aside'"),
    (["--cost=place:1", "--dt=0.013"], {}, "not a multiple of the model's timestep"),
    (["--cost=place:1", "--trace=noze"], {}, "Did you mean 'nose'"),
    (["--cost=place:1", "--planner=adam", "--model_physics=mujoco"], {}, "--model_physics=mjx"),
    (["--cost=place:1", "--model_physics=mjy"], {}, "--model_physics='mjy' is not known"),
    (["--cost=place:1"], {"initial_nose": "1"}, "--env.initial_nose is not known. Did you"),
  ],
)
def test_unknown_parts_of_a_model_are_refused_with_one_sentence(
  slider, arguments, env, message
):
  with pytest.raises(cli.UsageError) as error:
    call(*slider, *arguments, env=env)
  assert message in str(error.value) and "\n" not in str(error.value)


def test_ctrl_c_ends_an_unlimited_call_and_writes_its_results(tmp_path):
  def interrupt():
    path, end = tmp_path / "plan.csv", time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < 4:
      time.sleep(0.02)
      if time.monotonic() > end:
        return  # the test fails for another reason
    os.kill(os.getpid(), signal.SIGINT)

  threading.Thread(target=interrupt, daemon=True).start()
  arguments = ["--env=linear_quadratic", "--samples=8", "--horizon=4", "--novideo"]
  assert call(*arguments, "--episodes=0", "--panel", f"--out={tmp_path}") == 0
  assert json.loads((tmp_path / "summary.json").read_text())["steps"] == len(rows(tmp_path))
  assert (tmp_path / "curves.png").exists()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "Give either --env"),
    (["--env=pendulum", "--mjcf=a.xml"], "Give either --env"),
    (["--env=pendulm"], "Did you mean 'pendulum'"),
    (["--env=pendulum", "--planner=cmx"], "Did you mean 'cem'"),
    (
      ["--env=pendulum", "--set", "alhpa=1"],
      "--set alhpa is no setting of cem (did you mean alpha?): it has samples, elites, alpha, ",
    ),
    (["--env=pendulum", "--set", "alpha=x"], "--set alpha='x' is not of the right type"),
    (["--env=pendulum", "--set", "alpha"], "must have the form NAME=VALUE"),
    (["--env=pendulum", "--set", "alpha=7"], "--set alpha=7.0 must lie between 0.0 and 1.0"),
    (["--env=pendulum", "--set", "elites=500"], "--set elites=500 exceed --set samples=128"),
    (["--env=pendulum", "--physics=mjxx"], "physics='mjxx' is not known"),
    (["--env=pendulum", "--knots=900"], "knots"),
    (["--env=pendulum", "--interpolation=cubik", "--knots=3"], "cubic"),
    (["--env=pendulum", "--trace=tip"], "--trace requires a MuJoCo model"),
    (["--env=cartpole", "--trace=tipp"], "Did you mean 'tip'"),
    (["--env=pendulum", "--cost=a:1"], "--cost requires --mjcf"),
    (["--env=pendulum", "--loop=scan", "--episodes=0"], "--episodes=0 requires --loop=step"),
    (["--env=pendulum", "--loop=scan", "--panel"], "--panel requires --loop=step"),
    (["--mjcf=model.xml"], "--mjcf requires --cost"),
    (["--mjcf=model.xml", "--cost=tip:1"], "There is no file 'model.xml'"),
    (["--env=no_such.py:make"], "There is no file 'no_such.py'"),
    (["--mjcf=model.xml", "--cost=tip"], "'tip' must have the form sensor:weight"),
  ],
)
def test_wrong_usage_is_refused_with_one_sentence(arguments, message, tmp_path):
  with pytest.raises(cli.UsageError) as error:
    call(*arguments, f"--out={tmp_path / 'out'}")
  assert message in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "out").exists()


def test_view_without_a_screen_is_refused(monkeypatch):
  for name in ("DISPLAY", "WAYLAND_DISPLAY"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr("sys.platform", "linux")
  with pytest.raises(cli.UsageError, match="no screen: omit --view to get a video"):
    call("--env=cartpole", "--view")


def test_elites_keep_their_share_of_samples():
  assert make_keywords("cem", {"samples": "50"})["elites"] == 5
  assert make_keywords("cem", {"samples": "50", "elites": "20"})["elites"] == 20
  assert build(parse("--env=pendulum"), {}).settings["keywords"]["elites"] == 13


def test_costs_are_parsed():
  cost = parse_cost("tip:1.0, hinge:0.5:3.14,pos:2:0/0/1")
  assert cost == {"tip": 1.0, "hinge": (0.5, 3.14), "pos": (2.0, (0.0, 0.0, 1.0))}


def test_action_noise_acts_on_the_plant_only():
  setup = build(parse("--env=pendulum"), {"action_noise": "0.5"})
  assert setup.env.std == 0.5 and setup.model is setup.env.env


def test_help_lists_the_settings_of_the_planner():
  assert "--set kappa: " in plan.more_help(["plan", "--planner=pddm", "--help"])
  assert "--set alpha: weight of the old mean" in plan.more_help(["plan", "--help"])


def test_a_nonfinite_return_is_an_error_and_results_are_written(tmp_path, capsys):
  task = tmp_path / "broken.py"
  task.write_text(f"""{TASK.replace("  return", "  env =")}
  nan = lambda *_: jnp.float32(jnp.nan)
  return dataclasses.replace(env, spec=env.spec._replace(reward=nan))

import dataclasses
import jax.numpy as jnp
""")
  arguments = [f"--env={task}:make_task", *SMALL, f"--out={tmp_path}", "--novideo"]
  for loop in ("step", "scan"):
    assert call(*arguments, f"--loop={loop}") == 1
    assert "error: the return of episode 1 is nan" in capsys.readouterr().err
    assert len(rows(tmp_path)) == 6 and (tmp_path / "summary.json").exists()
