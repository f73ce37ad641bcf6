"""Planning from the command line: episodes, what is written, and what is refused."""

from __future__ import annotations

import csv
import functools
import json
import logging
import os
import signal
import threading
import time

import jax
import numpy as np
import pytest
from absl import flags

from experiments.command_line import cli
from experiments.plan import __main__ as plan
from experiments.plan import control
from experiments.plan.options import build
from experiments.plan.session import Session
from experiments.plan.setup import make_keywords, make_setup, parse_cost
from mbrl_jax.envs import double_integrator, make_env
from mbrl_jax.runtime.rendering.panel import Panel
from mbrl_jax.runtime.storage.csv_log import Table
from mbrl_jax.runtime.training.progress import Progress

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


def parse(*arguments):
  """Returns flags as ``main`` gets them."""
  values = flags.FlagValues()
  plan.define(values)
  values(["plan", *arguments])
  return values


def call(*arguments, env=None):
  return plan.main(parse(*arguments), {"config": {}, "env": env or {}})


def rows(folder):
  with open(folder / "plan.csv", newline="") as file:
    return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def linear(**loop):
  """A small planner on the linear system, whose states tell what reached it."""
  env = make_env("linear_quadratic")
  keywords = {"samples": 16, "elites": 4, "epsilon": 0.0}
  return make_setup(env, env, keywords=keywords, **{"horizon": 6, "iterations": 2, **loop})


@functools.cache
def compiled():
  """Functions of that planner, compiled once for all tests."""
  return control.compile_control(control.make_control(linear(), 4), jax.random.key(0))[0]


def roll(setup, steps=8, candidates=4):
  made = control.make_control(setup, candidates)
  rollout, _ = control.compile_episode(made, steps, jax.random.key(0))
  return jax.device_get(rollout(jax.random.key(0)))


def session(folder, *, steps=8, **more):
  settings = {
    "dt": 0.1,
    "length": steps,
    "speed": 0.0,
    "table": Table(folder / "plan.csv"),
    "progress": Progress(steps),
    "total": steps,
    "stop": lambda: False,
    "settings": {"samples", "alpha"},
  }
  return Session(compiled(), **{**settings, **more})


def test_an_episode_leaves_its_files_and_numbers(tmp_path, capsys):
  assert call("--env=pendulum", *SMALL, f"--out={tmp_path / 'new'}", "--episodes=2") == 0
  folder, said = tmp_path / "new", capsys.readouterr().out
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
    assert text in said, text


def test_a_whole_episode_as_one_program_says_the_same(tmp_path):
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


def test_a_model_of_ones_own_is_moved_to_its_target(slider, tmp_path):
  arguments = ["--cost=place:1:0.3,speed:0.01", "--dt=0.05", "--novideo", "--trace=nose"]
  assert call(*slider, *arguments, f"--out={tmp_path / 'out'}") == 0
  rewards = [row["reward"] for row in rows(tmp_path / "out")]
  assert rewards[0] < -0.5 and max(rewards[-5:]) > -0.01
  settings = json.loads((tmp_path / "out" / "summary.json").read_text())["settings"]
  assert settings["env"] == "a slider" and settings["dt"] == pytest.approx(0.05)


@pytest.mark.slow
def test_the_plant_and_the_model_may_differ_in_physics(slider, tmp_path):
  arguments = ["--cost=place:1:0.3", "--dt=0.05", "--model_physics=mjx", "--traces=4"]
  assert call(*slider, *arguments, f"--out={tmp_path / 'out'}") == 0
  rewards = [row["reward"] for row in rows(tmp_path / "out")]
  assert rewards[0] < -0.5 and max(rewards[-5:]) > -0.01
  assert list((tmp_path / "out").glob("video.*"))


def test_a_task_comes_from_a_python_file(tmp_path):
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
def test_what_a_model_lacks_is_one_sentence(slider, arguments, env, message):
  with pytest.raises(cli.UsageError) as error:
    call(*slider, *arguments, env=env)
  assert message in str(error.value) and "\n" not in str(error.value)


def test_traces_lead_where_the_plan_goes_and_stay_until_the_next():
  """With the exact model, an executed plan goes along its own trace."""
  moments = control.finish(roll(linear(replan_every=3, knots=3), steps=7))
  traces = moments.trace_poses
  assert moments.iterations.tolist() == [2, 0, 0, 2, 0, 0, 2]
  np.testing.assert_allclose(traces[0, 0, :3], moments.pose[:3], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(traces[3, 0, :4], moments.pose[3:], rtol=1e-4, atol=1e-5)
  assert (traces[0] == traces[1]).all() and (traces[3] == traces[5]).all()
  assert (traces[0, 1:] != traces[0, :1]).any((-1, -2)).all(), "candidates are the plan"


def test_an_action_takes_effect_after_the_latency():
  moments = roll(linear(latency=2, replan_every=6), steps=6)
  np.testing.assert_allclose(moments.trace_poses[0, 0, :6], moments.pose, rtol=1e-4, atol=1e-5)
  moved = moments.pose[1:] - moments.pose[:-1] @ double_integrator().a.T
  alone = np.abs(moved).max(-1) < 1e-6
  assert alone.tolist() == [True, True, False, False, False]


def test_an_episode_ends_where_its_task_does():
  fields = {name: np.arange(5) for name in control.Moment._fields}
  for terminated, length in (([0, 0, 1, 0, 0], 3), ([0, 0, 0, 0, 0], 5)):
    moments = control.Moment(**{**fields, "terminated": np.array(terminated, bool)})
    assert control.finish(moments).reward.tolist() == list(range(length))


def test_no_candidates_leave_the_plan_alone():
  assert roll(linear(), steps=2, candidates=0).trace_returns.shape == (2, 1)


def test_another_physics_may_be_planned_over():
  env, model = make_env("pendulum"), make_env("pendulum")
  setup = make_setup(env, model, keywords={"samples": 8, "elites": 2}, horizon=3)
  assert setup.model is not setup.env
  assert np.isfinite(roll(setup, steps=2).reward).all()


def test_a_slider_changes_the_planner_and_compiles_nothing(tmp_path, caplog):
  """A change through the panel reaches the compiled planner as data."""
  session(tmp_path).run(1, jax.random.key)  # so that the first step's trifles are compiled
  with jax.log_compiles(), caplog.at_level(logging.WARNING), Panel({"alpha": 0.5}) as panel:
    steps = []

    def stop():
      steps.append(panel.state()["values"]["alpha"])
      if len(steps) == 4:
        panel.change({"alpha": 0.125})
      return False

    running = session(tmp_path, panel=panel, stop=stop)
    running.run(2, jax.random.key)
    assert not caplog.records, "something was compiled"
    jax.jit(lambda x: x + 1)(0)
    assert caplog.records, "the counter sees nothing"
  assert steps[2] == pytest.approx(0.1), "the panel shows what the planner uses"
  assert steps[-1] == 0.125, "a change lasts into the next episode"
  assert np.isfinite([panel.state()["status"][k] for k in ("reward", "value", "misses")]).all()


def test_settings_are_those_of_the_factory():
  _, plan_state = compiled().start(jax.random.key(0))
  found = control.float_settings(plan_state, {"alpha", "samples"})
  assert found == {"alpha": pytest.approx(0.1)}
  assert set(control.float_settings(plan_state, set())) == {"alpha", "epsilon"}
  changed = control.with_floats(plan_state, {"alpha": 3, "tolerance": 0.5})
  assert float(changed.search.alpha) == 3 and float(changed.tolerance) == 0.5
  types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert types(changed) == types(plan_state)


def test_pause_holds_and_reset_starts_anew(tmp_path):
  with Panel({"alpha": 0.5}) as panel:
    seen = []

    def stop():
      seen.append(panel.paused)
      if len(seen) == 3:
        panel.command({"do": "pause"})
      if len(seen) == 6:
        panel.command({"do": "reset"})
        panel.command({"do": "resume"})
      return False

    running = session(tmp_path, panel=panel, stop=stop)
    running.run(1, jax.random.key)
  table = rows(tmp_path)
  lengths = [sum(row["episode"] == n for row in table) for n in (1, 2)]
  assert 0 < lengths[0] < 8 and lengths[1] == 8 and len(running.returns) == 1


def test_control_c_ends_an_endless_run_and_writes_it(tmp_path):
  def interrupt():
    path, end = tmp_path / "plan.csv", time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < 4:
      time.sleep(0.02)
      if time.monotonic() > end:
        return  # the test has failed by another cause
    os.kill(os.getpid(), signal.SIGINT)

  threading.Thread(target=interrupt, daemon=True).start()
  arguments = ["--env=linear_quadratic", "--samples=8", "--horizon=4", "--novideo"]
  assert call(*arguments, "--episodes=0", "--panel", f"--out={tmp_path}") == 0
  assert json.loads((tmp_path / "summary.json").read_text())["steps"] == len(rows(tmp_path))
  assert (tmp_path / "curves.png").exists()


def test_the_pace_is_kept(tmp_path, monkeypatch):
  slept = []
  monkeypatch.setattr("experiments.plan.session.time.sleep", slept.append)
  session(tmp_path, speed=2.0, steps=4).run(1, jax.random.key)
  # Nothing really sleeps, so every step waits for longer than the one before.
  assert len(slept) == 4 and slept[-1] > 0 and max(slept) < 4 * 0.1 / 2


def test_the_slowest_pace_can_be_stopped(tmp_path):
  stop = (tmp_path / "plan.csv").exists  # after the first step, before the second is due
  session(tmp_path, speed=1e-300, stop=stop).run(1, jax.random.key)
  assert len(rows(tmp_path)) == 1


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
    (["--env=pendulum", "--set", "alpha"], "not NAME=VALUE"),
    (["--env=pendulum", "--set", "alpha=7"], "--set alpha=7.0 must lie between 0.0 and 1.0"),
    (["--env=pendulum", "--set", "elites=500"], "--set elites=500 exceed --set samples=128"),
    (["--env=pendulum", "--physics=mjxx"], "physics='mjxx' is not known"),
    (["--env=pendulum", "--knots=900"], "knots"),
    (["--env=pendulum", "--interpolation=cubik", "--knots=3"], "cubic"),
    (["--env=pendulum", "--trace=tip"], "--trace needs a MuJoCo model"),
    (["--env=cartpole", "--trace=tipp"], "Did you mean 'tip'"),
    (["--env=pendulum", "--cost=a:1"], "--cost belongs to --mjcf"),
    (["--env=pendulum", "--loop=scan", "--episodes=0"], "--episodes=0 needs --loop=step"),
    (["--env=pendulum", "--loop=scan", "--panel"], "--panel needs --loop=step"),
    (["--mjcf=model.xml"], "--mjcf needs --cost"),
    (["--mjcf=model.xml", "--cost=tip:1"], "There is no file 'model.xml'"),
    (["--env=no_such.py:make"], "There is no file 'no_such.py'"),
    (["--mjcf=model.xml", "--cost=tip"], "'tip' is not sensor:weight"),
  ],
)
def test_what_can_not_be_done_is_one_sentence(arguments, message, tmp_path):
  with pytest.raises(cli.UsageError) as error:
    call(*arguments, f"--out={tmp_path / 'out'}")
  assert message in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "out").exists()


def test_a_missing_screen_is_said_at_once(monkeypatch):
  for name in ("DISPLAY", "WAYLAND_DISPLAY"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr("sys.platform", "linux")
  with pytest.raises(cli.UsageError, match="no screen: omit --view to get a video"):
    call("--env=cartpole", "--view")


def test_elites_keep_their_share_of_the_samples():
  assert make_keywords("cem", {"samples": "50"})["elites"] == 5
  assert make_keywords("cem", {"samples": "50", "elites": "20"})["elites"] == 20
  assert build(parse("--env=pendulum"), {}).settings["keywords"]["elites"] == 13


def test_costs_are_read():
  cost = parse_cost("tip:1.0, hinge:0.5:3.14,pos:2:0/0/1")
  assert cost == {"tip": 1.0, "hinge": (0.5, 3.14), "pos": (2.0, (0.0, 0.0, 1.0))}


def test_noise_acts_on_the_task_and_not_on_the_plans():
  setup = build(parse("--env=pendulum"), {"action_noise": "0.5"})
  assert setup.env.std == 0.5 and setup.model is setup.env.env


def test_help_shows_the_keywords_of_the_planner():
  assert "--set kappa: " in plan.more_help(["plan", "--planner=pddm", "--help"])
  assert "--set alpha: weight of the old mean" in plan.more_help(["plan", "--help"])


def test_a_return_that_is_not_finite_is_an_error_and_what_was_run_is_written(tmp_path, capsys):
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
    said = capsys.readouterr()
    assert "error: the return of episode 1 is nan" in said.err
    assert len(rows(tmp_path)) == 6 and (tmp_path / "summary.json").exists()
