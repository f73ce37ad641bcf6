"""Imagined trajectories against a plain loop, in a model of two known members."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.difference_model import DifferenceModel
from mbrl_jax.algorithms.parts.gaussian_actor import (
  PolicyConfig,
  PolicyParams,
  make_gaussian_actor,
  masked_scaling,
)
from mbrl_jax.algorithms.parts.imagined_trajectories import Halt, episode_metrics, imagine
from mbrl_jax.envs import make_env
from mbrl_jax.ops.noise import normal
from mbrl_jax.types import Dynamics

HIGH = np.float32([0.5, 2.0])
SPEC = make_env("pendulum").spec._replace(
  obs_dim=3,
  action_low=-HIGH,
  action_high=HIGH,
  encode=lambda obs: jnp.concatenate([obs, obs[:1] * obs[1:2]]),
)
SCALE = (1.0, 0.5, 2.0, 0.1)
ACTOR = make_gaussian_actor(SPEC, PolicyConfig(hidden=(4,), log_std=0.3))
POLICY = PolicyParams(
  ACTOR.policy.init(jax.random.key(3)), masked_scaling(ACTOR, SCALE), jnp.zeros((), bool)
)
GAINS, STARTS, HORIZON, LIMIT = np.float32([0.4, 0.5]), 5, 12, 3.0
KEY = jax.random.key(7)


def change(gain, obs, action, xp):
  """Returns the change of the observation, infinite once the first entry exceeds 1.2."""
  push = action[0] + 0.3 * action[1]
  third = xp.where(obs[0] > 1.2, xp.inf, 0.0)
  return xp.stack([gain * push + 0.1, 0.05 * obs[0] - gain * action[1], 0.2 + third])


def reward(obs, action, next_obs, xp):
  return next_obs[0] - obs[0] + xp.sum(action**2)


def ended(next_obs):
  return next_obs[1] < -1.2


def fake_model():
  """Returns the model whose members differ by their gain."""

  def step(gain, obs, action, noise):
    next_obs = obs + change(gain, obs, action, jnp)
    return next_obs, reward(obs, action, next_obs, jnp), ended(next_obs)

  no_noise = lambda key, shape: jnp.zeros((*shape, 0))
  predict = lambda gains, obs, action: jax.vmap(lambda g: change(g, obs, action, jnp))(gains)
  dynamics = Dynamics(step, slices=2, params_axes=0, noise=no_noise)
  return DifferenceModel(dynamics, init=None, fit=None, predict=predict)


def starts():
  return jnp.float32(np.random.default_rng(0).uniform(-1, 1, (STARTS, 3)))


def found(horizon=HORIZON, halt=None, limit=LIMIT, gains=GAINS, first=None):
  run = jax.jit(lambda: imagine(
    ACTOR, fake_model(), jnp.asarray(gains), POLICY, starts() if first is None else first,
    horizon, KEY, limit=limit, halt=halt,
  ))  # fmt: skip
  return jax.tree.map(np.asarray, run())


def slow(horizon=HORIZON, halt=None, limit=LIMIT, gains=GAINS):
  """Returns each trajectory as a list of steps; also why it ended."""
  all_noise = [
    np.asarray(normal(jax.random.fold_in(KEY, t), (len(gains), STARTS, 2)))
    for t in range(horizon)
  ]
  std, trajectories = np.exp(np.float32(0.3)), []
  for e, gain in enumerate(gains):
    for n, start in enumerate(np.asarray(starts())):
      obs, steps, why = np.asarray(start), [], "horizon"
      for t in range(horizon):
        see = lambda obs: np.clip(np.append(obs, obs[0] * obs[1]) * np.float32(SCALE), -10, 10)
        mean = np.asarray(ACTOR.policy.mean(POLICY.policy, jnp.asarray(see(obs))))
        sampled = mean + std * all_noise[t][e, n]
        action = np.clip(sampled, -1, 1) * HIGH
        after = obs + change(gain, obs, action, np)
        gained, over = reward(obs, action, after, np), ended(after)
        if not np.isfinite(after).all():
          why = "not finite"
          break
        after = np.clip(after, -limit, limit)
        why = "terminated" if over else why
        if halt is not None and not over:
          both = [change(g, obs, action, np) for g in gains]
          apart = np.subtract(*both)
          if np.linalg.norm(apart) > halt.threshold:
            gained, over, why = gained + halt.reward, True, "halted"
        steps.append((see(obs), sampled, gained, see(after), over, t))
        obs = after
        if over:
          break
      trajectories.append((steps, why))
  return trajectories


HALT = Halt(0.16, -7.0)


@pytest.mark.parametrize("halt", [None, HALT])
def test_trajectories_are_those_of_a_plain_loop(halt):
  batch, expected = found(halt=halt), slow(halt=halt)
  assert batch.reward.shape == (len(GAINS) * STARTS, HORIZON)
  ends = {why for _, why in expected}
  assert ends >= ({"halted", "terminated"} if halt else {"horizon", "terminated", "not finite"})
  for i, (steps, why) in enumerate(expected):
    count = len(steps)
    assert batch.valid[i].sum() == count and batch.valid[i, :count].all(), (i, why)
    columns = zip(*steps, strict=True)
    names = ("obs", "action", "reward", "next_obs", "terminated", "time")
    for name, column in zip(names, columns, strict=True):
      np.testing.assert_allclose(
        getattr(batch, name)[i, :count], np.stack(column), rtol=2e-4, atol=2e-5, err_msg=name
      )
    cut = np.zeros(HORIZON, bool)
    cut[-1] = count == HORIZON and why == "horizon"
    np.testing.assert_array_equal(batch.truncated[i], cut)
  assert np.abs(batch.action[batch.valid]).max() > 1  # stored as sampled
  assert np.abs(batch.next_obs[batch.valid]).max() <= 10


def test_a_halt_adds_its_reward_once_and_ends_the_episode():
  with_reward, without = found(halt=HALT), found(halt=HALT._replace(reward=0.0))
  np.testing.assert_array_equal(with_reward.valid, without.valid)
  difference = np.where(without.valid, with_reward.reward - without.reward, 0).sum(1)
  halted = np.array([why == "halted" for _, why in slow(halt=HALT)])
  assert 0 < halted.sum() < len(halted)
  np.testing.assert_allclose(difference, np.where(halted, -7.0, 0.0), atol=1e-5)
  shorter = found(halt=HALT).valid.sum(1), found().valid.sum(1)
  assert (shorter[0] <= shorter[1]).all() and shorter[0].sum() < shorter[1].sum()


def test_a_longer_horizon_only_adds_steps():
  """Also where all have ended, and the loop stops, long before it."""
  short, long = found(horizon=6), found(horizon=200, first=starts())
  used = short.valid
  for name in ("obs", "action", "reward", "next_obs", "terminated", "time"):
    a, b = getattr(short, name), getattr(long, name)[:, :6]
    np.testing.assert_array_equal(a[used], b[used], err_msg=name)
  np.testing.assert_array_equal(used, long.valid[:, :6])
  ended_early = found(horizon=200, halt=Halt(0.0, 0.0))
  assert (ended_early.valid.sum(1) == 1).all() and ended_early.terminated[:, 0].all()
  once = found(horizon=1, halt=Halt(0.0, 0.0))
  np.testing.assert_array_equal(ended_early.reward[:, 0], once.reward[:, 0])
  assert not once.truncated.any()


def test_a_model_that_is_not_finite_leaves_no_step():
  batch = found(gains=np.float32([np.nan, 0.5]))
  assert not batch.valid[:STARTS].any() and batch.valid[STARTS:, 0].all()


def test_observations_are_clipped_to_the_limit():
  batch = found(limit=0.5)
  third = np.where(batch.valid, batch.next_obs[..., 0], 0.0)
  assert np.abs(third).max() == 0.5


def test_metrics_are_means_over_the_episodes():
  batch, expected = found(halt=HALT), slow(halt=HALT)
  metrics = episode_metrics(batch)
  returns = [sum(step[2] for step in steps) for steps, _ in expected]
  np.testing.assert_allclose(metrics["imagined_return"], np.mean(returns), rtol=1e-4)
  np.testing.assert_allclose(
    metrics["imagined_length"], np.mean([len(steps) for steps, _ in expected]), rtol=1e-6
  )
  over = [why in ("terminated", "halted") for _, why in expected]
  np.testing.assert_allclose(metrics["imagined_terminated"], np.mean(over), rtol=1e-6)
