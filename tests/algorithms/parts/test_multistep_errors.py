"""Open-loop errors on validation episodes, against a loop over a known linear system."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts import multistep_errors
from mbrl_jax.types import Transition

A = np.float32([[0.9, 0.2], [-0.1, 0.95]])
B = np.float32([[0.1], [0.3]])
WRONG = np.float32([[0.88, 0.2], [-0.1, 0.97]])
SCALE = np.float32([2.0, 0.5])


def recorded(lengths, seed=0, before=3, after=4):
  """Returns episodes of the system with rows of other data around them."""
  rng, rows, numbers = np.random.default_rng(seed), [], []
  for episode, length in enumerate(lengths):
    obs = rng.normal(size=2)
    for action in rng.normal(size=(length, 1)):
      rows.append((obs, action, A @ obs + B @ action))
      numbers.append(2 + episode)
      obs = rows[-1][2]
  other = lambda count: [(np.full(2, np.nan), np.full(1, np.nan), np.full(2, np.nan))] * count
  rows = [*other(before), *rows, *other(after)]
  obs, action, next_obs = (np.float32(np.stack(x)) for x in zip(*rows, strict=True))
  flag = np.zeros(len(rows), bool)
  data = Transition(obs, action, np.zeros(len(rows), np.float32), next_obs, flag, flag)
  return data, np.int32([0] * before + numbers + [2**31 - 1] * after), before, len(numbers)


def predict(obs, action):
  return jnp.asarray(WRONG) @ obs + jnp.asarray(B) @ action


def distance(predicted, observed):
  return jnp.mean(jnp.square((predicted - observed) / SCALE))


@jax.jit
def errors(data, episode, first, count, key):
  return multistep_errors.multistep_errors(predict, distance, data, episode, first, count, key)


def reference(data, episode, first, count, steps):
  """Returns the errors of all windows."""
  found = []
  for start in range(first, first + count - steps + 1):
    if len({*episode[start : start + steps].tolist()}) > 1:
      continue
    obs = data.obs[start]
    for t in range(steps):
      obs = WRONG @ obs + B @ data.action[start + t]
    found.append(np.mean(np.square((obs - data.next_obs[start + steps - 1]) / SCALE)))
  return np.asarray(found)


@pytest.mark.slow
def test_an_error_is_that_of_a_loop_over_the_only_window_there_is():
  for steps in multistep_errors.HORIZONS:
    data, episode, *size = recorded([steps])
    found = errors(data, episode, *size, jax.random.key(0))
    (expected,) = reference(data, episode, *size, steps)
    np.testing.assert_allclose(found[f"error_{steps}"], expected, rtol=1e-3)


def test_errors_are_means_over_random_windows_within_episodes():
  data, episode, *size = recorded([12, 3, 60, 101])
  draws = [jax.device_get(errors(data, episode, *size, jax.random.key(s))) for s in range(8)]
  for steps in multistep_errors.HORIZONS:
    values = [draw[f"error_{steps}"] for draw in draws]
    windows = reference(data, episode, *size, steps)
    spread = windows.std() / np.sqrt(multistep_errors.WINDOWS * len(values))
    assert abs(np.mean(values) - windows.mean()) < 4 * spread
    assert np.std(values) > 0 and windows.std() > 0


def test_a_number_of_steps_that_no_episode_has_gives_zero():
  data, episode, *size = recorded([12, 9])
  found = errors(data, episode, *size, jax.random.key(0))
  assert found["error_10"] > 0 and found["error_50"] == found["error_100"] == 0
  none = errors(data, episode, size[0], 0, jax.random.key(0))
  assert not any(none.values())


def test_predictions_that_overflow_give_a_finite_error():
  data, episode, first, count = recorded([100])
  explode = lambda obs, action: 1e3 * obs
  data, episode = jax.tree.map(jnp.asarray, (data, episode))
  found = multistep_errors.multistep_errors(
    explode, distance, data, episode, first, count, jax.random.key(0)
  )
  assert all(np.isfinite(error) for error in found.values())
  assert found["error_100"] > 3.4e38
