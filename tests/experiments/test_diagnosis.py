"""What a diagnosis says of models and critics that are known."""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import diagnosis
from mbrl_jax.types import Dynamics, Insight, Transition

ROOT = Path(__file__).parents[2]
NOISE = 0.2


def walk(offset=0.0, noise=NOISE):
  """Dynamics of a noisy walk; ``params`` are not used."""

  def step(params, obs, action, key):
    next_obs = obs + action + offset + noise * jax.random.normal(key, obs.shape)
    return next_obs, next_obs[0], jnp.zeros((), bool)

  return Dynamics(step)


def episodes(count=30, length=20, seed=0, ends=None):
  rng = np.random.default_rng(seed)
  action = rng.uniform(-1, 1, (count, length, 2))
  change = action + NOISE * rng.normal(size=action.shape)
  path = np.concatenate([np.zeros((count, 1, 2)), np.cumsum(change, 1)], 1)
  flags = np.zeros((count, length), bool)
  terminated, truncated = flags.copy(), flags.copy()
  truncated[:, -1] = True
  if ends is not None:
    terminated[:, ends] = True
  rows = path[:, :-1], action, path[:, 1:, 0], path[:, 1:], terminated, truncated
  return Transition(*(jnp.asarray(x, bool if x.dtype == bool else jnp.float32) for x in rows))


def test_the_right_model_is_off_by_the_noise_that_adds_up_and_is_calibrated():
  seen = episodes()
  predicted, truth = diagnosis.predict(walk(), None, seen, 9, 300, jax.random.key(0))
  assert predicted.shape[1:] == (9, diagnosis.PARTICLES, 2) and truth.shape[1:] == (9, 2)
  errors = diagnosis.model_errors(predicted, truth, np.ones(2))
  # the median of a root mean square over two dimensions is sqrt(log 2) deviations
  want = NOISE * np.sqrt(np.log(2) * np.arange(1, 10))
  np.testing.assert_allclose(errors.median, want, rtol=0.2)
  assert np.all(errors.upper > errors.median) and errors.starts == len(predicted)
  covered = diagnosis.coverage(predicted[:, 0], truth[:, 0])
  np.testing.assert_allclose(covered, diagnosis.LEVELS, atol=0.08)


def test_a_wrong_model_is_off_by_what_it_adds_in_units_of_the_scale():
  seen = episodes()
  predicted, truth = diagnosis.predict(walk(offset=5.0), None, seen, 4, 100, jax.random.key(0))
  errors = diagnosis.model_errors(predicted, truth, np.array([2.0, 2.0]))
  np.testing.assert_allclose(errors.median, 2.5 * np.arange(1, 5), rtol=0.1)


def test_a_model_too_sure_of_itself_covers_too_little():
  seen = episodes()
  predicted, truth = diagnosis.predict(
    walk(noise=NOISE / 4), None, seen, 1, 300, jax.random.key(0)
  )
  covered = diagnosis.coverage(predicted[:, 0], truth[:, 0])
  assert np.all(covered < diagnosis.LEVELS - 0.05)


def test_predictions_never_run_past_the_end_of_an_episode():
  """Of 20 steps the sixth ends each: what comes after it is not of the episode."""
  seen = episodes(ends=5)
  np.testing.assert_array_equal(diagnosis.lengths(seen), 6)
  predicted, truth = diagnosis.predict(walk(), None, seen, 5, 1000, jax.random.key(0))
  assert len(predicted) == 30 * 2
  last = np.asarray(seen.next_obs)[:, 4:6].reshape(-1, 2)
  found = {tuple(x) for x in truth[:, -1].round(5)}
  assert found == {tuple(x) for x in last.round(5)}
  with pytest.raises(ValueError, match="horizon=7 is longer than every episode"):
    diagnosis.predict(walk(), None, seen, 7, 10, jax.random.key(0))


@pytest.mark.parametrize("ends", [None, 2])
def test_a_critic_is_held_against_the_discounted_rewards(ends):
  seen = episodes(2, 4, ends=ends)
  insight = Insight(q=lambda state, obs, action: state + obs[0], discount=0.5)
  found = diagnosis.critic(insight, jnp.float32(7.0), seen)
  q, rewards = 7.0 + np.asarray(seen.obs)[..., 0], np.asarray(seen.reward)
  if ends is None:  # the last step goes on with the critic's own value and is not counted
    want = [
      [
        sum(0.5 ** (k - t) * r[k] for k in range(t, 3)) + 0.5 ** (3 - t) * v[3]
        for t in range(3)
      ]
      for r, v in zip(rewards, q, strict=True)
    ]
    kept = 3
  else:
    want = [
      [sum(0.5 ** (k - t) * r[k] for k in range(t, 3)) for t in range(3)] for r in rewards
    ]
    kept = 3
  np.testing.assert_allclose(found.followed, np.ravel(want), rtol=1e-5)
  np.testing.assert_allclose(found.expected, q[:, :kept].ravel(), rtol=1e-5)


@pytest.mark.slow
def test_the_program_draws_what_there_is(tmp_path):
  call = lambda *words: subprocess.run(
    [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
  )
  run = tmp_path / "run"
  tiny = [
    *(
      "--algo=mbpo",
      "--env=pendulum",
      "--env.episode_length=20",
      f"--logdir={run}",
      "--novideo",
    ),
    *("--config.steps=100", "--config.init_steps=40", "--config.rollouts=10"),
    *("--config.world.members=2", "--config.world.elites=2", "--config.world.hidden=(8,)"),
    *("--config.agent.batch_size=8", "--config.agent.hidden=(8,)", "--seeds=2"),
  ]
  trained = call("experiments.train", *tiny)
  assert trained.returncode == 0, trained.stderr[-2000:]
  done = call("experiments.diagnose", f"--run={run}", "--episodes=2", "--horizon=7")
  assert done.returncode == 0, done.stderr[-2000:]
  for words in ("of 2 seeds the first", "after one step", "central half", "critic: expects"):
    assert words in done.stdout
  with open(run / "diagnosis_model_error.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["steps"] for row in rows] == [str(k) for k in range(1, 8)]
  for name in ("model_horizon", "calibration", "critic"):
    assert (run / "plots" / f"{name}.png").stat().st_size > 5000
