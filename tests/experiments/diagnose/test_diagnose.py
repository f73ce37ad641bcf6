"""Diagnoses of known models, critics and plans."""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.diagnose import measurements
from mbrl_jax import cem, dial, make_evaluate, make_planner, mirror_descent, mppi, pddm
from mbrl_jax.types import (
  Algorithm,
  Diagnostics,
  Dynamics,
  EnvSpec,
  EnvState,
  TrainState,
  Transition,
)

ROOT = Path(__file__).parents[3]
NOISE = 0.2


def walk(offset=0.0, noise=NOISE):
  """Makes the dynamics of a noisy walk; ``params`` are not used."""

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


def test_the_true_model_has_the_error_of_the_noise_and_is_calibrated():
  seen = episodes()
  predicted, truth = measurements.predict(walk(), None, seen, 9, 300, jax.random.key(0))
  assert predicted.shape[1:] == (9, measurements.PARTICLES, 2) and truth.shape[1:] == (9, 2)
  errors = measurements.model_errors(predicted, truth, np.ones(2))
  # The median of a root mean square over two dimensions is sqrt(log 2) standard deviations.
  want = NOISE * np.sqrt(np.log(2) * np.arange(1, 10))
  np.testing.assert_allclose(errors.median, want, rtol=0.2)
  assert np.all(errors.upper > errors.median) and errors.starts == len(predicted)
  covered = measurements.coverage(predicted[:, 0], truth[:, 0])
  np.testing.assert_allclose(covered, measurements.LEVELS, atol=0.08)


def test_a_biased_model_has_the_error_of_its_bias_in_units_of_the_scale():
  seen = episodes()
  predicted, truth = measurements.predict(
    walk(offset=5.0), None, seen, 4, 100, jax.random.key(0)
  )
  errors = measurements.model_errors(predicted, truth, np.array([2.0, 2.0]))
  np.testing.assert_allclose(errors.median, 2.5 * np.arange(1, 5), rtol=0.1)


def test_an_overconfident_model_has_too_little_coverage():
  seen = episodes()
  predicted, truth = measurements.predict(
    walk(noise=NOISE / 4), None, seen, 1, 300, jax.random.key(0)
  )
  covered = measurements.coverage(predicted[:, 0], truth[:, 0])
  assert np.all(covered < measurements.LEVELS - 0.05)


def test_predictions_never_run_past_the_end_of_an_episode():
  """Every episode terminates at step 6 of 20; later steps do not count."""
  seen = episodes(ends=5)
  np.testing.assert_array_equal(measurements.lengths(seen), 6)
  predicted, truth = measurements.predict(walk(), None, seen, 5, 1000, jax.random.key(0))
  assert len(predicted) == 30 * 2
  last = np.asarray(seen.next_obs)[:, 4:6].reshape(-1, 2)
  found = {tuple(x) for x in truth[:, -1].round(5)}
  assert found == {tuple(x) for x in last.round(5)}
  with pytest.raises(ValueError, match="horizon=7 is longer than every episode"):
    measurements.predict(walk(), None, seen, 7, 10, jax.random.key(0))


def test_a_model_that_holds_actions_is_compared_where_they_begin():
  """In episodes of 7 steps whose actions last 3 steps; only the last is cut."""
  action = np.repeat(np.random.default_rng(0).normal(size=(4, 3, 2)), 3, 1)[:, :7]
  path = np.concatenate([np.zeros((4, 1, 2)), np.cumsum(action, 1)], 1)
  ends = np.broadcast_to(np.arange(7) == 6, (4, 7))
  rows = path[:, :-1], np.float32(action), action[..., 0], path[:, 1:], ends & ~ends, ends
  seen = Transition(*rows)
  step = lambda params, obs, action, key: (obs + 3 * action, obs[0], jnp.zeros((), bool))
  predict = lambda horizon: measurements.predict(
    Dynamics(step), None, seen, horizon, 99, jax.random.key(0), 3
  )
  for horizon, starts in ((1, 4 * 2), (2, 4)):
    predicted, truth = predict(horizon)
    assert truth.shape == (starts, horizon, 2)
    np.testing.assert_allclose(predicted - truth[:, :, None], 0, atol=1e-5)
  with pytest.raises(ValueError, match=r"horizon=9 is longer than every episode: .* 7 steps"):
    predict(3)


@pytest.mark.parametrize("ends", [None, 2])
def test_a_critic_is_compared_with_discounted_rewards(ends):
  seen = episodes(2, 4, ends=ends)
  diagnostics = Diagnostics(q=lambda state, obs, action: state + obs[0], discount=0.5)
  found = measurements.critic(diagnostics, jnp.float32(7.0), seen)
  q, rewards = 7.0 + np.asarray(seen.obs)[..., 0], np.asarray(seen.reward)
  if ends is None:  # the last step is the critic's own value and is dropped
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
def test_the_program_writes_tables_and_plots(tmp_path):
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
    *("--config.steps=100", "--config.init_steps=40", "--config.rollout_batch_size=10"),
    *(
      "--config.world_model.members=2",
      "--config.world_model.elites=2",
      "--config.world_model.hidden=(8,)",
    ),
    *("--config.agent.batch_size=8", "--config.agent.hidden=(8,)", "--seeds=2"),
  ]
  trained = call("experiments.train", *tiny)
  assert trained.returncode == 0, trained.stderr[-2000:]
  done = call("experiments.diagnose", f"--run={run}", "--episodes=2", "--horizon=7")
  assert done.returncode == 0, done.stderr[-2000:]
  for text in ("first of 2 seeds", "after one step", "coverage of the", "critic: mean return"):
    assert text in done.stdout, text
  with open(run / "diagnosis_model_error.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["steps"] for row in rows] == [str(k) for k in range(1, 8)]
  for name in ("model_horizon", "calibration", "critic", "open_loop"):
    assert (run / "plots" / f"{name}.png").stat().st_size > 5000


class Line:
  """A point on a line: the action moves it, the reward is its negative distance from 0."""

  spec = EnvSpec(
    name="line",
    obs_dim=1,
    action_low=np.full(1, -1.0, np.float32),
    action_high=np.full(1, 1.0, np.float32),
    dt=1.0,
    episode_length=6,
    reward=lambda obs, action, next_obs: -jnp.abs(next_obs[0]),
    terminated=lambda obs, action, next_obs: next_obs[0] > 3.0,
  )

  def reset(self, key):
    obs = jax.random.uniform(key, (1,), minval=-2.0, maxval=2.0)
    return EnvState(None, obs, jnp.zeros((), jnp.int32))

  def step(self, state, action, key):
    obs, steps = state.obs + action, state.steps + 1
    reward = self.spec.reward(state.obs, action, obs)
    ended = self.spec.terminated(state.obs, action, obs)
    row = Transition(state.obs, action, reward, obs, ended, steps >= 6)
    return EnvState(None, obs, steps), row


def planning(search, offset=0.0, random=False):
  """Makes an algorithm that plans 4 steps ahead; its model has a bias of ``offset``."""

  def step(params, obs, action, key):
    next_obs = obs + action + offset
    transition = obs, action, next_obs
    return next_obs, Line.spec.reward(*transition), Line.spec.terminated(*transition)

  bounds = {"action_low": Line.spec.action_low, "action_high": Line.spec.action_high}
  planner = make_planner(search, make_evaluate(Dynamics(step)), horizon=4, **bounds)

  def act(params, plan_state, obs, key):
    output, plan_state = planner.plan(None, obs, plan_state, key)
    action = jax.random.uniform(key, (1,)) if random else output.action
    return action, plan_state, {}

  return acting(act, planner, Dynamics(step))


def acting(act, planner, dynamics):
  """Makes an algorithm that plans and does not learn; returns it with a state."""
  algorithm = Algorithm(
    init=None,
    params=lambda state: (),
    act=act,
    reset=lambda params, plan_state: plan_state,
    observe=None,
    update=None,
    budget=None,
    deploy=None,
    diagnostics=Diagnostics(
      dynamics, lambda state: None, planned=lambda plan_state: plan_state
    ),
  )
  one_environment = jax.tree.map(lambda x: x[None], planner.init())
  return algorithm, TrainState(None, one_environment, None, None, None)


def planned(*arguments, starts=10, **options):
  algorithm, state = planning(*arguments, **options)
  settings = {"episodes": 3, "starts": starts, "key": jax.random.key(0)}
  return measurements.plans(algorithm, Line(), state, **settings)


def test_plans_of_the_true_model_earn_their_predicted_returns():
  found = planned(mppi(32))
  assert found.true.shape == found.predicted.shape == found.ess.shape == (10,)
  np.testing.assert_allclose(found.predicted, found.true, atol=1e-5)
  assert np.ptp(found.true) > 0.1
  assert (found.ess >= 1).all() and (found.ess <= 32).all() and np.ptp(found.ess) > 0.1


def test_plans_of_a_biased_model_do_not():
  found = planned(cem(32, 4), offset=1.0)
  assert np.abs(found.predicted - found.true).mean() > 1.0
  assert found.ess is None


@pytest.mark.optimised
def test_no_more_plans_than_were_made_are_returned():
  assert len(planned(cem(8, 2), starts=1000).true) == 3 * 6


def test_random_actions_are_not_plans():
  with pytest.raises(ValueError, match="no plan was made"):
    planned(cem(8, 2), random=True)


@pytest.mark.parametrize(
  "search", [mppi(8), pddm(8), dial(8), mirror_descent(8, elites=2, ess_fraction=0.0)]
)
def test_effective_sample_sizes_lie_between_one_and_all_plans(search):
  low, high = -np.ones((3, 1), np.float32), np.ones((3, 1), np.float32)
  state = search.init(low, high)
  assert state.ess == 8
  plans, state = search.sample(state, jax.random.key(0), 8)
  assert search.update(state, plans, jnp.zeros(8)).ess == pytest.approx(8, rel=1e-4)
  best = jnp.where(jnp.arange(8) == 3, 0.0, -1e9)
  assert search.update(state, plans, best).ess == pytest.approx(1, rel=1e-3)


def test_a_continued_plan_is_not_a_new_plan():
  """Each plan is executed for two of six steps and always applies the lower bound."""
  bounds = {"action_low": Line.spec.action_low, "action_high": Line.spec.action_high}
  dynamics = Dynamics(lambda params, obs, action, key: (obs + action, action[0], obs[0] > 9))
  evaluate = make_evaluate(dynamics)
  planner = make_planner(cem(8, 2), evaluate, horizon=3, replan_every=2, **bounds)

  def act(params, plan_state, obs, key):
    _, plan_state = planner.plan(None, obs, plan_state, key)
    return -jnp.ones(1), plan_state._replace(plan=-jnp.ones((3, 1))), {}

  algorithm, state = acting(act, planner, dynamics)
  settings = {"episodes": 2, "starts": 100, "key": jax.random.key(0)}
  assert len(measurements.plans(algorithm, Line(), state, **settings).true) == 2 * 3
