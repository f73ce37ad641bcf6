"""The closed loop of planning: paths of plans, latency, live settings, pause and pace."""

from __future__ import annotations

import logging

import jax
import numpy as np
import pytest
from plan_calls import compiled, linear, rows

from experiments.plan import control
from experiments.plan.session import Session
from experiments.plan.setup import make_setup
from mbrl_jax.envs import double_integrator, make_env
from mbrl_jax.runtime.rendering.panel import Panel
from mbrl_jax.runtime.storage.csv_log import Table
from mbrl_jax.runtime.training.progress import Progress


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


def test_an_executed_plan_follows_its_trace_until_the_next_replan():
  """The model is exact, so that predicted and real poses agree."""
  moments = control.finish(roll(linear(replan_every=3, knots=3), steps=7))
  traces = moments.trace_poses
  assert moments.iterations.tolist() == [2, 0, 0, 2, 0, 0, 2]
  np.testing.assert_allclose(traces[0, 0, :3], moments.pose[:3], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(traces[3, 0, :4], moments.pose[3:], rtol=1e-4, atol=1e-5)
  assert (traces[0] == traces[1]).all() and (traces[3] == traces[5]).all()
  assert (traces[0, 1:] != traces[0, :1]).any((-1, -2)).all(), "candidates equal the plan"


def test_an_action_takes_effect_after_the_latency():
  moments = roll(linear(latency=2, replan_every=6), steps=6)
  np.testing.assert_allclose(moments.trace_poses[0, 0, :6], moments.pose, rtol=1e-4, atol=1e-5)
  moved = moments.pose[1:] - moments.pose[:-1] @ double_integrator().a.T
  alone = np.abs(moved).max(-1) < 1e-6
  assert alone.tolist() == [True, True, False, False, False]


def test_an_episode_is_cut_at_its_termination():
  fields = {name: np.arange(5) for name in control.Moment._fields}
  for terminated, length in (([0, 0, 1, 0, 0], 3), ([0, 0, 0, 0, 0], 5)):
    moments = control.Moment(**{**fields, "terminated": np.array(terminated, bool)})
    assert control.finish(moments).reward.tolist() == list(range(length))


def test_without_candidates_only_the_plan_is_traced():
  assert roll(linear(), steps=2, candidates=0).trace_returns.shape == (2, 1)


def test_the_model_can_be_another_task():
  env, model = make_env("pendulum"), make_env("pendulum")
  setup = make_setup(env, model, keywords={"samples": 8, "elites": 2}, horizon=3)
  assert setup.model is not setup.env
  assert np.isfinite(roll(setup, steps=2).reward).all()


def test_a_slider_changes_the_planner_without_compiling(tmp_path, caplog):
  """A change through the panel is data of the compiled planner."""
  session(tmp_path).run(1, jax.random.key)  # compiles the small operations of a step
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
    assert caplog.records, "compilations are not logged"
  assert steps[2] == pytest.approx(0.1), "the panel shows what the planner uses"
  assert steps[-1] == 0.125, "a change lasts into the next episode"
  assert np.isfinite([panel.state()["status"][k] for k in ("reward", "value", "misses")]).all()


def test_live_settings_are_floats_of_the_factory():
  _, plan_state = compiled().start(jax.random.key(0))
  found = control.float_settings(plan_state, {"alpha", "samples"})
  assert found == {"alpha": pytest.approx(0.1)}
  assert set(control.float_settings(plan_state, set())) == {"alpha", "epsilon"}
  changed = control.with_floats(plan_state, {"alpha": 3, "tolerance": 0.5})
  assert float(changed.search.alpha) == 3 and float(changed.tolerance) == 0.5
  types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert types(changed) == types(plan_state)


def test_pause_holds_and_reset_starts_a_new_episode(tmp_path):
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


def test_the_real_time_factor_is_limited(tmp_path, monkeypatch):
  slept = []
  monkeypatch.setattr("experiments.plan.session.time.sleep", slept.append)
  session(tmp_path, speed=2.0, steps=4).run(1, jax.random.key)
  # The patched sleep returns at once, so every step requests a longer sleep than the last.
  assert len(slept) == 4 and slept[-1] > 0 and max(slept) < 4 * 0.1 / 2


def test_a_very_slow_session_can_be_stopped(tmp_path):
  stop = (tmp_path / "plan.csv").exists  # after the first step, before the second is due
  session(tmp_path, speed=1e-300, stop=stop).run(1, jax.random.key)
  assert len(rows(tmp_path)) == 1
