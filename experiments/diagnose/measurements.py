"""Measures model error, calibration, returns of plans and critic bias.

Models and critics are measured on episodes: ``Transition`` with leaves ``[E, T, ...]``, of
which only the first ``lengths [E]`` steps count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.planners.evaluate import make_evaluate, make_predict
from mbrl_jax.types import (
  Algorithm,
  Array,
  Diagnostics,
  Dynamics,
  Env,
  EnvState,
  Key,
  Params,
  TrainState,
  Transition,
)

PARTICLES = 40
"""Minimum particles of a prediction."""
LEVELS = np.linspace(0.1, 0.9, 9)
"""Nominal coverage of the central intervals."""


class ModelErrors(NamedTuple):
  """Error of the model's mean prediction over the horizon.

  Attributes:
    median, upper: root mean square over the dimensions, each in units of its standard deviation
      over the episodes; median and 90th percentile over the starts ``[H]``.
    starts: number of starts.
  """

  median: np.ndarray
  upper: np.ndarray
  starts: int


class Critic(NamedTuple):
  """Predicted and observed returns, one entry per step.

  Attributes:
    expected: ``Q(s, a)`` ``[n]``.
    followed: discounted rewards until the end of the episode, bootstrapped with the critic's
      value of the last step if the episode did not terminate ``[n]``. Excludes entropy.
  """

  expected: np.ndarray
  followed: np.ndarray


class Plans(NamedTuple):
  """Plans made while an algorithm collects, one entry per plan.

  Attributes:
    predicted: sum of rewards that the model predicts for the plan ``[n]``.
    true: sum of rewards in the environment, executing the plan from the same state ``[n]``.
    ess: effective sample size of the search's last update ``[n]``, ``None`` if it has none.
  """

  predicted: np.ndarray
  true: np.ndarray
  ess: np.ndarray | None


def lengths(episodes: Transition) -> np.ndarray:
  """Returns the number of steps of each episode ``[E]``."""
  done = np.asarray(episodes.terminated | episodes.truncated)
  return np.where(done.any(1), done.argmax(1) + 1, done.shape[1])


def predict(
  dynamics: Dynamics,
  params: Params,
  episodes: Transition,
  horizon: int,
  starts: int,
  key: Key,
  repeat: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
  """Predicts observations of episodes from steps drawn at random.

  Args:
    dynamics: learned, over observations.
    params: of the dynamics.
    episodes: observed transitions.
    horizon: ``H``, steps of the dynamics to predict.
    starts: maximum number of steps to start from, each at least ``H`` before the end.
    key: typed key.
    repeat: control steps of a step of the dynamics; an action is held for as many.

  Returns:
    Predictions ``[S, H, P, O]`` and observations ``[S, H, O]``.

  Raises:
    ValueError: no episode has ``H`` steps.
  """
  step = np.arange(episodes.reward.shape[1])
  open_steps = step + horizon * repeat <= lengths(episodes)[:, None]
  rows = np.argwhere(open_steps & (step % repeat == 0))
  if not len(rows):
    raise ValueError(
      f"horizon={horizon * repeat} is longer than every episode: the longest has "
      f"{lengths(episodes).max()} steps."
    )
  draw_key, key = jax.random.split(key)
  order = np.asarray(jax.random.permutation(draw_key, len(rows)))[:starts]
  episode, first = rows[order].T
  steps = first[:, None] + repeat * np.arange(horizon)
  obs = np.asarray(episodes.obs)[episode, first]
  plans = np.asarray(episodes.action)[episode[:, None], steps]
  truth = np.asarray(episodes.next_obs)[episode[:, None], steps + repeat - 1]
  particles = -(-PARTICLES // dynamics.slices) * dynamics.slices
  roll = make_predict(dynamics, particles=particles)
  keys = jax.random.split(key, len(order))
  # Sequential over starts: the particles of one start fill a batch.
  one = lambda x: roll(params, x[0], x[1], x[2])[1:]
  predicted = jax.jit(lambda *x: jax.lax.map(one, x))(jnp.asarray(obs), plans, keys)
  return np.asarray(predicted), truth


def model_errors(predicted: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> ModelErrors:
  """Returns the errors of the particles' mean.

  Args:
    predicted: predictions ``[S, H, P, O]``.
    truth: observations ``[S, H, O]``.
    scale: unit of each dimension ``[O]``.
  """
  error = (predicted.mean(2) - truth) / np.where(scale > 0, scale, 1.0)
  size = np.sqrt(np.mean(np.square(error), axis=-1))
  return ModelErrors(np.median(size, 0), np.quantile(size, 0.9, axis=0), len(size))


def coverage(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Returns the share of ``truth [n, O]`` within the central ``LEVELS`` of ``[n, P, O]``.

  Ignores dimensions in which all particles always agree.
  """
  varies = np.ptp(predicted, axis=1).max(0) > 0
  predicted, truth = predicted[:, :, varies], truth[:, varies]
  below = (predicted < truth[:, None]).mean(1)
  ties = (predicted == truth[:, None]).mean(1)
  middle = np.abs(below + 0.5 * ties - 0.5)
  return np.array([np.mean(middle <= level / 2) for level in LEVELS])


def plans(
  algorithm: Algorithm, env: Env, state: TrainState, *, episodes: int, starts: int, key: Key
) -> Plans:
  """Compares predicted and real returns of plans.

  Args:
    algorithm: one that plans.
    env: its task.
    state: its training state.
    episodes: number of episodes to run with the planner, as in collection.
    starts: maximum number of plans, drawn from all plans of these episodes.
    key: typed key.

  Raises:
    ValueError: no plan was made: all actions were random.
  """
  episodes_key, draw_key, key = jax.random.split(key, 3)
  collect = jax.jit(lambda keys: jax.lax.map(_planned_episode(algorithm, env, state), keys))
  seen, plans, ess, made = collect(jax.random.split(episodes_key, episodes))
  rows = np.argwhere(np.asarray(made))
  if not len(rows):
    raise ValueError("no plan was made: the run still takes random actions.")
  order = np.asarray(jax.random.permutation(draw_key, len(rows)))[:starts]
  chosen = jax.tree.map(lambda x: x[tuple(rows[order].T)], (seen, plans))
  dynamics, params = algorithm.diagnostics.dynamics, algorithm.diagnostics.params(state)
  particles = -(-PARTICLES // dynamics.slices) * dynamics.slices
  score = make_evaluate(dynamics, particles=particles)

  def compare(row: tuple[tuple[EnvState, Array], Key]) -> tuple[Array, Array]:
    (start, plan), key = row
    return score(params, start.obs, plan[None], key)[0], _execute(env, start, plan, key)

  keys = jax.random.split(key, len(order))
  predicted, true = jax.jit(lambda *x: jax.lax.map(compare, x))(chosen, keys)
  ess = None if ess is None else np.asarray(ess)[tuple(rows[order].T)]
  return Plans(np.asarray(predicted), np.asarray(true), ess)


def _planned_episode(algorithm: Algorithm, env: Env, state: TrainState) -> Callable:
  """Returns ``key -> (states, plans [T, H, A], ess [T], made [T])`` of one episode."""
  params = algorithm.params(state)

  def step(loop: tuple[EnvState, Any, Array], key: Key) -> tuple:
    seen, carry, over = loop
    act_key, step_key = jax.random.split(key)
    new = algorithm.diagnostics.planned(carry).age == 0  # otherwise an older plan continues
    action, carry, _ = algorithm.act(params, carry, seen.obs, act_key)
    planned = algorithm.diagnostics.planned(carry)
    after, transition = env.step(seen, action, step_key)
    made = new & jnp.all(planned.plan[0] == action) & ~over
    over = over | transition.terminated | transition.truncated
    ess = getattr(planned.search, "ess", None)
    return (after, carry, over), (seen, planned.plan, ess, made)

  def episode(key: Key) -> tuple:
    reset_key, key = jax.random.split(key)
    carry = algorithm.reset(params, jax.tree.map(lambda x: x[0], state.carry))
    start = env.reset(reset_key), carry, jnp.zeros((), bool)
    return jax.lax.scan(step, start, jax.random.split(key, env.spec.episode_length))[1]

  return episode


def _execute(env: Env, start: EnvState, plan: Array, key: Key) -> Array:
  """Returns the sum of rewards ``[]`` of ``plan [H, A]`` until the task terminates."""

  def step(carry: tuple[EnvState, Array], row: tuple[Array, Key]) -> tuple:
    seen, alive = carry
    after, transition = env.step(seen, *row)
    reward = jnp.where(alive, transition.reward, 0.0)
    return (after, alive & ~transition.terminated), reward

  carry = start, jnp.ones((), bool)
  return jax.lax.scan(step, carry, (plan, jax.random.split(key, len(plan))))[1].sum()


def critic(diagnostics: Diagnostics, state: TrainState, episodes: Transition) -> Critic:
  """Compares the critic's values with observed returns."""
  q = jax.jit(jax.vmap(jax.vmap(lambda obs, action: diagnostics.q(state, obs, action))))
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
      follows[t] = rewards[e, t] + diagnostics.discount * follows[t + 1]
    # The last step of a truncated episode is dropped: its return is the critic's own value.
    found.append(np.stack([expected[e, :length], follows])[:, : length if end else last])
  both = np.concatenate(found, axis=1)
  return Critic(both[0], both[1])
