"""Returns and advantages against slow loops in numpy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.ops.returns import discounted_returns, generalized_advantages, lambda_returns

GAMMA, LAMBDA = 0.9, 0.7


def rows(seed=0, n=6, length=12, padding=4):
  """Returns rewards, values, next values, terminated, truncated and valid, ``[n, length]``."""
  rng = np.random.default_rng(seed)
  rewards, values, next_values = rng.normal(size=(3, n, length))
  terminated, truncated = rng.uniform(size=(2, n, length)) < 0.15
  valid = np.arange(length) < length - rng.integers(0, padding + 1, (n, 1))
  return rewards, values, next_values, terminated, truncated, valid


def slow_advantages(rewards, values, next_values, terminated, truncated, valid, gamma, lam):
  """Equation 16 of Schulman et al., forwards, until the episode ends."""
  out = np.zeros(len(rewards))
  for t in np.flatnonzero(valid):
    factor = 1.0
    for k in range(t, len(rewards)):
      if not valid[k]:
        break
      after = 0.0 if terminated[k] else next_values[k]
      out[t] += factor * (rewards[k] + gamma * after - values[k])
      if terminated[k] or truncated[k]:
        break
      factor *= gamma * lam
  return out


def advantages(data, gamma=GAMMA, lam=LAMBDA):
  of = lambda *row: generalized_advantages(*row, discount=gamma, lam=lam)
  return jax.jit(jax.vmap(of))(*map(jnp.asarray, data))


@pytest.mark.parametrize("lam", [0.0, LAMBDA, 1.0])
def test_advantages_match_a_slow_loop(lam):
  data = rows()
  want = [slow_advantages(*row, GAMMA, lam) for row in zip(*data, strict=True)]
  np.testing.assert_allclose(advantages(data, lam=lam), want, rtol=1e-5, atol=1e-5)


def test_advantages_of_padding_are_zero_whatever_it_contains():
  data = rows()
  clean = advantages(data)
  valid = data[-1]
  dirty = [np.where(valid, x, np.nan) for x in data[:3]]
  flags = [np.where(valid, x, True) for x in data[3:5]]
  chex.assert_trees_all_equal(advantages((*dirty, *flags, valid)), clean)
  assert (np.asarray(clean)[~valid] == 0).all()


def test_values_after_a_termination_are_ignored():
  data = rows()
  next_values = np.where(data[3], np.nan, data[2])
  chex.assert_trees_all_equal(advantages((*data[:2], next_values, *data[3:])), advantages(data))


def test_truncations_bootstrap_and_terminations_do_not():
  ends, no = jnp.array([False, True, False]), jnp.zeros(3, bool)
  of = lambda terminated, truncated: generalized_advantages(
    jnp.ones(3), jnp.zeros(3), jnp.full(3, 10.0), terminated, truncated, discount=0.5, lam=0.0
  )
  np.testing.assert_allclose(of(ends, no), [6, 1, 6])
  np.testing.assert_allclose(of(no, ends), [6, 6, 6])


def test_discounted_returns_match_a_slow_loop():
  rewards, _, _, terminated, truncated, valid = rows(1)
  zero = np.zeros_like(rewards)
  ended = terminated | truncated
  got = jax.vmap(discounted_returns, (0, 0, None, 0))(
    jnp.asarray(rewards), jnp.asarray(ended), GAMMA, jnp.asarray(valid)
  )
  cut = (rewards, zero, zero, ended, zero > 0, valid)
  want = [slow_advantages(*row, GAMMA, 1.0) for row in zip(*cut, strict=True)]
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_lambda_returns_interpolate_between_temporal_differences_and_returns():
  rewards = jnp.array([1.0, 2.0, 3.0])
  values, after = jnp.array([5.0, 6.0, 7.0]), jnp.array([6.0, 7.0, 8.0])
  no = jnp.zeros(3, bool)
  of = lambda lam: lambda_returns(rewards, values, after, no, no, discount=0.5, lam=lam)
  np.testing.assert_allclose(of(0.0), rewards + 0.5 * after)
  np.testing.assert_allclose(of(1.0), [1 + 1 + 0.75 + 1, 2 + 1.5 + 2, 3 + 4])
  valid = jnp.array([True, True, False])
  padded = lambda_returns(rewards, values, after, no, no, valid, discount=0.5, lam=1.0)
  np.testing.assert_allclose(padded, [1 + 1 + 0.25 * 7, 2 + 0.5 * 7, 0])


def test_advantages_are_float32_under_x64():
  data = rows()
  want = advantages(data)
  with jax.enable_x64(True):
    got = advantages([x.astype(np.float32) if x.dtype == float else x for x in data])
  assert got.dtype == jnp.float32
  chex.assert_trees_all_equal(got, want)
