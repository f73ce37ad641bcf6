"""Success of episodes, in training and in evaluations, against loops over solved steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runtime_probe

from mbrl_jax.algorithms import init_state, make_evaluation, make_step
from mbrl_jax.algorithms.parts.success import count_solved, episode_success, init_counts
from mbrl_jax.types import Success

RULES = [(1, 0), (3, 0), (1, 1), (1, 4), (2, 3), (4, 4)]


def expected(solved, steps, last):
  """Judges an episode by its solved steps ``[T]``."""
  counted = solved[-last:] if last else solved
  return sum(map(bool, counted)) >= steps


@pytest.mark.parametrize(("steps", "last"), RULES)
def test_counts_equal_a_loop_over_the_episodes_of_each_environment(steps, last):
  success = Success(lambda obs: obs[0] > 0, steps, last)
  rng = np.random.default_rng(10 * steps + last)
  obs, done = rng.normal(size=(60, 3, 1)), rng.random((60, 3)) < 0.15
  counts, found = init_counts(success, 3), []
  count = jax.jit(lambda counts, obs, done: count_solved(success, counts, obs, done))
  for t in range(60):
    counts, metrics = count(counts, obs[t], done[t])
    found.append(np.asarray(metrics["success"]))
  want = np.zeros((60, 3), bool)
  for env in range(3):
    start = 0
    for t in range(60):
      want[t, env] = expected(obs[start : t + 1, env, 0] > 0, steps, last)
      start = t + 1 if done[t, env] else start
  assert 0.02 < want.mean() < 0.98
  np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize(("steps", "last"), RULES)
def test_an_episode_counts_only_steps_up_to_its_end(steps, last):
  success = Success(lambda obs: obs[0] > 0, steps, last)
  obs = np.random.default_rng(1).normal(0.7, size=(40, 9, 1)).astype(np.float32)
  lengths, found, want = np.arange(40) % 9 + 1, [], []
  for row, length in zip(obs, lengths, strict=True):
    taken = np.arange(9) < length
    found.append(bool(episode_success(success, row, taken)["success"]))
    want.append(expected(row[:length, 0] > 0, steps, last))
  assert found == want and 0 < sum(want) < 40


def test_training_and_evaluation_report_the_success_of_their_episodes():
  """Episodes end early, and their environments at different times."""
  success = Success(lambda obs: obs[0] > 0.0, steps=2, last=3)
  env = runtime_probe.ProbeEnv(limit=0.5, success=success)
  algorithm = runtime_probe.probe_algorithm()
  state = init_state(algorithm, env, jax.random.key(0), envs=3)
  metrics = make_step(algorithm, env, steps=90, envs=3)(state)[1]
  metrics, seen = {k: v for k, v in metrics.items() if k != "update"}, []
  for i in range(3):
    own = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i::3]), metrics)
    solved, start = own["transition"].next_obs[:, 0] > 0, 0
    for t, done in enumerate(own["done"]):
      assert own["success"][t] == expected(solved[start : t + 1], 2, 3)
      seen += [own["success"][t]] if done else []
      start = t + 1 if done else start
  assert 0 < sum(seen) < len(seen)

  metrics = make_evaluation(algorithm, env, episodes=30)(jnp.zeros(3), jax.random.key(1))
  ends = np.asarray(metrics["transition"].terminated | metrics["transition"].truncated)
  solved = np.asarray(metrics["transition"].next_obs[..., 0] > 0)
  want = [expected(s[: np.argmax(e) + 1], 2, 3) for s, e in zip(solved, ends, strict=True)]
  np.testing.assert_array_equal(metrics["success"], want)
  assert 0 < sum(want) < 30 and metrics["success"].dtype == bool


def test_tasks_without_success_report_none():
  env, algorithm = runtime_probe.ProbeEnv(), runtime_probe.probe_algorithm()
  state = init_state(algorithm, env, jax.random.key(0))
  assert state.rollout.solved is None
  assert "success" not in make_step(algorithm, env)(state)[1]
  assert "success" not in make_evaluation(algorithm, env)(jnp.zeros(3), jax.random.key(0))


@pytest.mark.parametrize(
  ("steps", "last", "message"),
  [
    (0, 0, "success.steps=0 must be positive"),
    (1, -1, "success.last=-1 must be at least 0"),
    (3, 2, "success.steps=3 must not exceed success.last=2"),
  ],
)
def test_impossible_rules_are_refused(steps, last, message):
  env = runtime_probe.ProbeEnv(success=Success(lambda obs: obs[0] > 0, steps, last))
  with pytest.raises(ValueError, match=message):
    init_state(runtime_probe.probe_algorithm(), env, jax.random.key(0))
