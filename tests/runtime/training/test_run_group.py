"""Runs trained with one step: equal to separate runs, and independent of one that diverges."""

from __future__ import annotations

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console
import runtime_probe

from mbrl_jax.algorithms.step import init_state, make_evaluation, make_step
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.csv_log import evaluations, read_table
from mbrl_jax.runtime.training import loop

ENV, ALGORITHM = runtime_probe.ProbeEnv(), runtime_probe.probe_algorithm()
ROLLOUT = make_evaluation(ALGORITHM, ENV, episodes=2)
KEYS = [7, 8, 9]
SCHEDULE = loop.Schedule(total_steps=24, eval_steps=8)
init = jax.jit(lambda key: init_state(ALGORITHM, ENV, key))


def state_of(seeds, offset):
  if seeds is None:
    return init(jax.random.key(offset))
  return jax.vmap(init)(jax.vmap(jax.random.key)(jnp.array(seeds) + 10 * offset))


def evaluator(width):
  """Makes the evaluation of one run, or of ``width`` seeds at once."""

  def evaluate(state, step):
    key = jax.random.key(step)
    if width is None:
      return ROLLOUT(ALGORITHM.params(state), key)
    params = jax.vmap(ALGORITHM.params)(state)
    return jax.vmap(lambda w: ROLLOUT(w, key))(params)

  return evaluate


def train_group(path, states, seeds=None, resume=False, schedule=SCHEDULE):
  width = len(states) * len(seeds or [0])
  logs = [io.StringIO() for _ in states]
  folders = [
    run_folder.open_run(path / str(i)) if resume else run_folder.create(path / str(i), {})
    for i in range(len(states))
  ]
  outcomes = loop.train_together(
    make_step(ALGORITHM, ENV, steps=2, seeds=width),
    states,
    folders,
    schedule,
    seeds=seeds,
    evaluate=evaluator(width),
    resume=resume,
    consoles=[rich.console.Console(file=log, width=200) for log in logs],
  )
  return outcomes, folders, [log.getvalue() for log in logs]


@pytest.mark.optimised
@pytest.mark.parametrize("seeds", [None, [0, 1]])
def test_each_run_equals_a_separate_run(tmp_path, seeds):
  states = [state_of(seeds, offset) for offset in KEYS]
  outcomes, folders, logs = train_group(tmp_path, states, seeds)
  for i, (state, outcome, folder) in enumerate(zip(states, outcomes, folders, strict=True)):
    width = seeds and len(seeds)
    alone = run_folder.create(tmp_path / f"alone{i}", {})
    expected = loop.train(
      make_step(ALGORITHM, ENV, steps=2, seeds=width),
      state,
      alone,
      SCHEDULE,
      seeds=seeds,
      evaluate=evaluator(width),
    )
    assert outcome.step == expected.step == 24 and outcome.signal is None
    np.testing.assert_allclose(outcome.state.learn.w, expected.state.learn.w, rtol=1e-5)
    for read in (lambda f: read_table(f.metrics), lambda f: evaluations(f.path)):
      rows, wanted = read(folder), read(alone)
      assert len(rows) == len(wanted) > 2
      for row, want in zip(rows, wanted, strict=True):
        assert row == pytest.approx(want, rel=1e-4, abs=1e-5)
    with np.load(folder.logs(seeds and seeds[-1]).with_suffix(".npz")) as file:
      assert len(file["observations"])
    assert "eval" in logs[i]
  returns = [[row["return"] for row in read_table(folder.metrics)] for folder in folders]
  assert returns[0] != returns[1], "all runs are the same"


def test_a_run_of_a_group_can_be_resumed_alone(tmp_path):
  states = [state_of(None, offset) for offset in KEYS]
  whole, _, _ = train_group(tmp_path / "whole", states)
  train_group(tmp_path / "half", states, schedule=SCHEDULE._replace(total_steps=12))
  outcome = loop.train(
    make_step(ALGORITHM, ENV, steps=2),
    states[1],
    run_folder.open_run(tmp_path / "half" / "1"),
    SCHEDULE,
    resume=True,
  )
  np.testing.assert_allclose(outcome.state.learn.w, whole[1].state.learn.w, rtol=1e-5)


@pytest.mark.slow
def test_a_group_resumes_exactly(tmp_path):
  states = [state_of([0, 1], offset) for offset in KEYS]
  train_group(tmp_path / "whole", states, [0, 1])
  train_group(tmp_path / "two", states, [0, 1], schedule=SCHEDULE._replace(total_steps=12))
  train_group(tmp_path / "two", states, [0, 1], resume=True)
  for i in range(len(KEYS)):
    for name in ("metrics.csv", "evaluations.csv"):
      whole, two = (tmp_path / kind / str(i) / name for kind in ("whole", "two"))
      assert whole.read_bytes() == two.read_bytes()


def test_a_run_that_diverges_ends_alone(tmp_path):
  states = [state_of(None, offset) for offset in KEYS]
  bad = states[1].learn._replace(total=jnp.float32(jnp.inf))
  states[1] = states[1]._replace(learn=bad)
  outcomes, folders, logs = train_group(tmp_path, states)
  assert [outcome.step for outcome in outcomes] == [24, 4, 24]
  assert "Training stopped: update loss is not finite after step 4" in logs[1]
  assert "Training stopped" not in logs[0] + logs[2]
  assert Checkpoints(folders[1].checkpoints).steps() == [4]
  with pytest.raises(loop.Diverged, match="update loss"):
    train_group(tmp_path / "all", [states[1], states[1]])


def test_a_finished_run_waits_for_the_others(tmp_path, monkeypatch):
  """Episodes end early: each run needs a different number of steps for four."""
  algorithm = runtime_probe.probe_algorithm(episodes=4)
  monkeypatch.setattr("test_run_group.ALGORITHM", algorithm)
  monkeypatch.setattr("test_run_group.ENV", runtime_probe.ProbeEnv(limit=0.5))
  states = [state_of(None, offset) for offset in KEYS]
  schedule = loop.Schedule(total_steps=99, total_episodes=4, eval_every=2)
  outcomes, folders, _ = train_group(tmp_path, states, schedule=schedule)
  for outcome, folder in zip(outcomes, folders, strict=True):
    rows = read_table(folder.metrics)
    assert [row["episode"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["step"] == outcome.step == outcome.state.learn.count
    assert [row["trial"] for row in rows if "eval/return" in row] == [2]
    assert outcome.finished and Checkpoints(folder.checkpoints).steps()[-1] == outcome.step
  assert len({outcome.step for outcome in outcomes}) > 1, "all runs end together"


def test_runs_at_different_steps_are_refused(tmp_path):
  states = [state_of(None, offset) for offset in KEYS]
  train_group(tmp_path, states, schedule=SCHEDULE._replace(total_steps=12))
  loop.train(
    make_step(ALGORITHM, ENV, steps=2),
    states[0],
    run_folder.open_run(tmp_path / "0"),
    SCHEDULE._replace(total_steps=18),
    resume=True,
  )
  with pytest.raises(ValueError, match=r"at the same step, got steps \[12, 18\]"):
    train_group(tmp_path, states, resume=True)
