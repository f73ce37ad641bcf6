"""Numbers that tell whether what an algorithm believes is so.

All of them are taken on episodes ``Transition`` with leaves ``[E, T, ...]``, of which only the
first ``lengths [E]`` steps count.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.planners.evaluate import make_predict
from mbrl_jax.types import Dynamics, Insight, Key, Params, TrainState, Transition

PARTICLES = 40
"""Samples of a prediction at least."""
LEVELS = np.linspace(0.1, 0.9, 9)
"""Shares that the central intervals are to hold."""


class ModelErrors(NamedTuple):
  """How far the model's mean is off, over the horizon.

  Attributes:
    median, upper: root mean square over the dimensions, each in units of its deviation over
      the episodes; median and 90th percentile over the starts ``[H]``.
    starts: how many there are.
  """

  median: np.ndarray
  upper: np.ndarray
  starts: int


class Critic(NamedTuple):
  """What a critic expects and what followed, one entry for each step.

  Attributes:
    expected: ``Q(s, a)`` ``[n]``.
    followed: discounted rewards to the end of the episode, with the critic's own value of
      its last step where it did not terminate ``[n]``. No entropy is added.
  """

  expected: np.ndarray
  followed: np.ndarray


def lengths(episodes: Transition) -> np.ndarray:
  """Returns the steps of each episode until it was over ``[E]``."""
  done = np.asarray(episodes.terminated | episodes.truncated)
  return np.where(done.any(1), done.argmax(1) + 1, done.shape[1])


def predict(
  dynamics: Dynamics,
  params: Params,
  episodes: Transition,
  horizon: int,
  starts: int,
  key: Key,
) -> tuple[np.ndarray, np.ndarray]:
  """Predicts what happened after steps drawn at random.

  Args:
    dynamics: learned, over observations.
    params: of it.
    episodes: what happened.
    horizon: ``H``, control steps to predict.
    starts: how many steps to start from at most; each at least ``H`` steps before the end.
    key: typed key.

  Returns:
    Predictions ``[S, H, P, O]`` and what was observed ``[S, H, O]``.

  Raises:
    ValueError: no episode is that long.
  """
  open_steps = np.arange(episodes.reward.shape[1]) + horizon <= lengths(episodes)[:, None]
  rows = np.argwhere(open_steps)
  if not len(rows):
    raise ValueError(
      f"horizon={horizon} is longer than every episode: the longest has "
      f"{lengths(episodes).max()} steps."
    )
  draw_key, key = jax.random.split(key)
  order = np.asarray(jax.random.permutation(draw_key, len(rows)))[:starts]
  episode, first = rows[order].T
  steps = first[:, None] + np.arange(horizon)
  obs = np.asarray(episodes.obs)[episode, first]
  plans = np.asarray(episodes.action)[episode[:, None], steps]
  truth = np.asarray(episodes.next_obs)[episode[:, None], steps]
  particles = -(-PARTICLES // dynamics.slices) * dynamics.slices
  roll = make_predict(dynamics, particles=particles)
  keys = jax.random.split(key, len(order))
  # one start after the other: the particles of one fill a batch
  one = lambda x: roll(params, x[0], x[1], x[2])[1:]
  predicted = jax.jit(lambda *x: jax.lax.map(one, x))(jnp.asarray(obs), plans, keys)
  return np.asarray(predicted), truth


def model_errors(predicted: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> ModelErrors:
  """Compares the mean of the particles ``[S, H, P, O]`` with what was observed ``[S, H, O]``.

  Args:
    predicted: see above.
    truth: see above.
    scale: unit of each dimension ``[O]``.
  """
  error = (predicted.mean(2) - truth) / np.where(scale > 0, scale, 1.0)
  size = np.sqrt(np.mean(np.square(error), axis=-1))
  return ModelErrors(np.median(size, 0), np.quantile(size, 0.9, axis=0), len(size))


def coverage(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Returns how much of ``truth [n, O]`` lies in the central ``LEVELS`` of ``[n, P, O]``.

  Dimensions in which nothing is ever predicted to differ are left out.
  """
  varies = np.ptp(predicted, axis=1).max(0) > 0
  predicted, truth = predicted[:, :, varies], truth[:, varies]
  below = (predicted < truth[:, None]).mean(1)
  ties = (predicted == truth[:, None]).mean(1)
  middle = np.abs(below + 0.5 * ties - 0.5)
  return np.array([np.mean(middle <= level / 2) for level in LEVELS])


def critic(insight: Insight, state: TrainState, episodes: Transition) -> Critic:
  """Compares a critic with what followed."""
  q = jax.jit(jax.vmap(jax.vmap(lambda obs, action: insight.q(state, obs, action))))
  expected = np.asarray(q(episodes.obs, episodes.action), np.float64)
  rewards, terminated = np.asarray(episodes.reward), np.asarray(episodes.terminated)
  found: list[np.ndarray] = []
  for e, length in enumerate(lengths(episodes)):
    last = length - 1
    end = terminated[e, last]
    later = rewards[e, last] if end else expected[e, last]
    follows = np.empty(length)
    follows[last] = later
    for t in range(last - 1, -1, -1):
      follows[t] = rewards[e, t] + insight.discount * follows[t + 1]
    # the last step of an episode that goes on is the critic's own word
    found.append(np.stack([expected[e, :length], follows])[:, : length if end else last])
  both = np.concatenate(found, axis=1)
  return Critic(both[0], both[1])
