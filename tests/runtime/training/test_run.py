"""The end of a run, of seeds that end at different steps, and of runs counted in episodes."""

import jax
import numpy as np
import pytest
import runtime_probe
from test_loop import assert_same_runs

from mbrl_jax.runtime.storage.csv_log import evaluations, read_table
from mbrl_jax.runtime.training import chunk
from mbrl_jax.types import Success

EPISODES = 5


def run_episodes(path, *, until=EPISODES, steps=1, **options):
  when = {"total_episodes": until, **options.pop("when", {})}
  options["env"] = runtime_probe.ProbeEnv(limit=0.5)
  return runtime_probe.run(path, 99, steps=steps, when=when, episodes=EPISODES, **options)


def test_a_run_ends_with_its_last_episode_and_the_update_after_it(tmp_path):
  """Calls have four steps and episodes at most six: episodes end inside calls."""
  done = run_episodes(tmp_path / "run", steps=4)
  rows = read_table(tmp_path / "run" / "metrics.csv")
  lengths = [row["length"] for row in rows]
  assert done.finished and len(rows) == EPISODES and min(lengths) < runtime_probe.LENGTH
  np.testing.assert_array_equal([row["step"] for row in rows], np.cumsum(lengths))
  assert done.step == done.state.steps == done.state.learn.count == sum(lengths)
  losses = [row["model/loss"] for row in rows]  # the reward so far, reported by each update
  np.testing.assert_allclose(losses, np.cumsum([row["return"] for row in rows]), rtol=1e-4)
  with np.load(tmp_path / "run" / "logs.npz") as logs:
    assert len(logs["steps"]) == EPISODES
  again = run_episodes(tmp_path / "run", steps=4, resume=True)
  assert again.finished and again.step == done.step and again.compile_seconds == 0
  run_episodes(tmp_path / "parts", steps=4, until=2)
  run_episodes(tmp_path / "parts", steps=4, resume=True)
  assert_same_runs(tmp_path / "run", tmp_path / "parts")


@pytest.mark.slow
def test_finished_seeds_take_no_steps_until_the_others_finish(tmp_path):
  seeds = [3, 4, 5]
  done = run_episodes(tmp_path / "run", seeds=seeds, when={"eval_every": 2})
  rows = read_table(tmp_path / "run" / "metrics.csv")
  steps = []
  for seed in seeds:
    own = [row for row in rows if row["seed"] == seed]
    lengths = [row["length"] for row in own]
    np.testing.assert_array_equal([row["step"] for row in own], np.cumsum(lengths))
    reached = [row["trial"] for row in own if row["trial"] in (2, 4)]
    assert [row["trial"] for row in own if "eval/return" in row] == reached
    assert len(own) == EPISODES
    steps.append(int(sum(lengths)))
  assert len(set(steps)) > 1, "all seeds end together"
  np.testing.assert_array_equal(done.state.steps, steps)
  np.testing.assert_array_equal(done.state.learn.count, steps)
  assert done.step == max(steps)
  run_episodes(tmp_path / "parts", seeds=seeds, when={"eval_every": 2}, until=3)
  run_episodes(tmp_path / "parts", seeds=seeds, when={"eval_every": 2}, resume=True)
  assert_same_runs(tmp_path / "run", tmp_path / "parts")


def test_seeds_that_reach_different_steps_are_refused(tmp_path):
  with pytest.raises(ValueError, match=r"at different steps.*steps=1"):
    run_episodes(tmp_path / "run", seeds=[3, 4, 5], steps=4)


def test_total_steps_that_are_no_multiple_of_a_call_are_taken_exactly(tmp_path):
  table, seen = tmp_path / "run" / "metrics.csv", []
  after = lambda: seen.append(len(read_table(table)) if table.exists() else 0)
  options = {"when": {"eval_steps": 13}, "after_chunk": after}
  done = runtime_probe.run(tmp_path / "run", 13, steps=4, rest=1, **options)
  assert seen == [0, 1, 2, 2]  # the rows after 4, 8, 12 and 13 steps
  assert done.finished and done.step == done.state.learn.count == 13
  assert [row["step"] for row in evaluations(tmp_path / "run")] == [13]
  runtime_probe.run(tmp_path / "parts", 8, steps=4, when={"eval_steps": 13})
  when = {"when": {"eval_steps": 13}, "resume": True}
  runtime_probe.run(tmp_path / "parts", 13, steps=4, rest=1, **when)
  assert_same_runs(tmp_path / "run", tmp_path / "parts")


def test_a_nonfinite_observation_after_a_termination_is_harmless(tmp_path):
  done = runtime_probe.run(tmp_path / "run", 30, env=runtime_probe.BrokenEnd(limit=0.5))
  rows = read_table(tmp_path / "run" / "metrics.csv")
  with np.load(tmp_path / "run" / "logs.npz") as logs:
    early = logs["terminated"]
    ends = logs["observations"][np.arange(len(early)), logs["lengths"]]
  np.testing.assert_array_equal([row["planner/nonfinite_transitions"] for row in rows], early)
  np.testing.assert_array_equal(np.isnan(ends).all(1), early)  # the logs keep the NaN
  assert done.step == 30 and 0 < early.sum() < len(early)
  assert all(np.isfinite(row["return"]) for row in rows)


def test_success_of_episodes_and_evaluations_is_logged_and_resumed(tmp_path):
  """Solved in two of the last three steps; the interruption is inside an episode."""
  seeds = [3, 4]
  env = runtime_probe.ProbeEnv(success=Success(lambda obs: obs[0] > 0.0, steps=2, last=3))
  options = {"env": env, "seeds": seeds, "when": {"eval_steps": 20}}
  runtime_probe.run(tmp_path / "run", 60, **options)
  rows = read_table(tmp_path / "run" / "metrics.csv")
  for seed in seeds or [None]:
    own = [row["success"] for row in rows if row.get("seed") == seed]
    with np.load(
      tmp_path / "run" / f"logs{'' if seed is None else f'_seed{seed}'}.npz"
    ) as logs:
      ends = zip(logs["observations"][:, 1:, 0], logs["lengths"], strict=True)
      want = [(observed[:length][-3:] > 0).sum() >= 2 for observed, length in ends]
    np.testing.assert_array_equal(own, want)
    assert 0 < sum(own) < len(own)
  evaluated = evaluations(tmp_path / "run")
  assert len(evaluated) == 3 * len(seeds)
  assert all(row["eval/success"] in (0.0, 0.5, 1.0) for row in evaluated)
  runtime_probe.run(tmp_path / "parts", 26, **options)
  runtime_probe.run(tmp_path / "parts", 60, resume=True, **options)
  assert_same_runs(tmp_path / "run", tmp_path / "parts")
  files = [tmp_path / name / "evaluations.csv" for name in ("run", "parts")]
  assert files[0].read_bytes() == files[1].read_bytes()


def test_the_success_rate_of_an_evaluation_is_the_mean_over_its_episodes():
  metrics = {"return": np.float32([[1, 3, 5, 7], [2, 2, 2, 2]])}
  plain = [{"eval/return": 4.0, "eval/return_std": 5**0.5}]
  plain.append({"eval/return": 2.0, "eval/return_std": 0.0})
  assert chunk.evaluations_of_seeds(metrics) == plain
  metrics["success"] = np.array([[1, 0, 0, 0], [1, 1, 1, 0]], bool)
  rates = [row["eval/success"] for row in chunk.evaluations_of_seeds(metrics)]
  assert rates == [0.25, 0.75]
  one = jax.tree.map(lambda leaf: leaf[1], metrics)
  assert chunk.evaluations_of_seeds(one)[0]["eval/success"] == 0.75
