"""DAgger: labels, aggregation, and a student that reaches its expert."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl_jax.learners import make_dagger
from mbrl_jax.learners.behaviour_cloning import clone_behaviour
from mbrl_jax.learners.dagger import label_rows
from mbrl_jax.networks.gaussian_policy import make_gaussian_policy

POLICY = make_gaussian_policy(2, 1, hidden=(8,))
GAIN = np.float32([[-0.6], [-0.3]])


def made(**options):
  return make_dagger(POLICY, 2, 1, **{"capacity": 40, "epochs": 2, "batch_size": 8, **options})


def expert(obs, key):
  return obs @ GAIN


def noisy(obs, key):
  return obs @ GAIN + jax.random.normal(key, (1,))


def states(count, seed=0):
  return jnp.asarray(np.random.default_rng(seed).normal(size=(count, 2)), jnp.float32)


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
@pytest.mark.parametrize("size", [0, 7, 10])
def test_labels_do_not_depend_on_the_batches(batch, size):
  obs, key = states(10), jax.random.key(3)
  found = jax.jit(lambda size: label_rows(noisy, obs, size, key, batch))(size)
  one_by_one = [noisy(obs[i], jax.random.fold_in(key, i)) for i in range(size)]
  np.testing.assert_allclose(found[:size], np.reshape(one_by_one, (size, 1)), rtol=1e-6)


def test_only_batches_with_states_to_label_are_computed():
  calls = []
  label = lambda obs, key: jax.pure_callback(
    lambda x: calls.append(0) or x, jax.ShapeDtypeStruct((1,), jnp.float32), obs[:1],
    vmap_method="sequential",
  )  # fmt: skip
  run = jax.jit(lambda size: label_rows(label, states(12), size, jax.random.key(0), 4))
  for size, expected in ((0, 0), (1, 4), (4, 4), (5, 8), (12, 12)):
    calls.clear()
    jax.block_until_ready(run(size))
    assert len(calls) == expected


def test_labels_join_the_demonstrations_and_moments_stay():
  """Rows in order; the second update continues the first one's Adam."""
  dagger = made(observe=lambda obs: 2 * obs)
  shown, visited = states(9), states(12, seed=1)
  state = dagger.add(dagger.init(jax.random.key(0)), shown, shown @ GAIN)
  update = jax.jit(lambda state, size, key: dagger.update(state, visited, size, expert, key))
  first, metrics = update(state, 0, jax.random.key(1))
  assert (int(metrics["rows"]), float(metrics["label_distance"])) == (9, 0.0)
  second, metrics = update(first, 7, jax.random.key(2))
  assert int(metrics["rows"]) == 16 == int(second.data.size)
  rows = np.concatenate([shown, visited[:7]])
  np.testing.assert_array_equal(second.data.data.obs[:16], 2 * rows)
  np.testing.assert_allclose(second.data.data.action[:16], rows @ GAIN, rtol=1e-6)
  own = POLICY.mean(first.params, 2 * visited[:7])
  distance = np.abs(own - visited[:7] @ GAIN).mean()
  np.testing.assert_allclose(metrics["label_distance"], distance, rtol=1e-5)
  assert int(second.moments.count) == 2 * (2 + 2) and update._cache_size() == 1
  np.testing.assert_array_equal(second.params.log_std, state.params.log_std)


def test_the_first_fit_is_behaviour_cloning():
  dagger, obs = made(), states(20)
  state = dagger.add(dagger.init(jax.random.key(0), 0.02), obs, obs @ GAIN)
  after, metrics = dagger.update(state, states(5), jnp.int32(0), expert, jax.random.key(1))
  fit_key = jax.random.split(jax.random.key(1))[1]
  want, error = clone_behaviour(
    POLICY, state.params, state.data.data.obs, state.data.data.action, 20, fit_key,
    epochs=2, batch_size=8, learning_rate=0.02,
  )  # fmt: skip
  jax.tree.map(np.testing.assert_array_equal, after.params, want)
  assert metrics["imitation_error"] == error > 0


MEAN = jax.jit(POLICY.mean)


def visit(act, seed, steps=30):
  """Returns the states of a noisy double integrator under a policy."""
  rng, x, rows = np.random.default_rng(seed), np.float32([2.0, 0.0]), []
  for _ in range(steps):
    rows.append(x)
    push = np.asarray(act(x))[0] + 0.1 * rng.normal()
    x = np.float32([x[0] + 0.3 * x[1], x[1] + 0.3 * push])
  return jnp.asarray(np.stack(rows))


def test_the_student_reaches_its_expert_where_the_demonstrations_do_not_show_it():
  """They show a corner; the labels the states on the way."""
  dagger = made(capacity=200, epochs=150, batch_size=16)
  shown = jnp.asarray([2.0, 0.0]) + 0.05 * states(20)
  state = dagger.add(dagger.init(jax.random.key(0), 0.01), shown, shown @ GAIN)
  update = jax.jit(lambda state, obs, size, key: dagger.update(state, obs, size, expert, key))
  distances = []
  for i in range(5):
    size = 30 if i else 0
    visited = visit(functools.partial(MEAN, state.params), i)
    state, metrics = update(state, visited, size, jax.random.key(i))
    distances.append(float(metrics["label_distance"]))
  own = visit(functools.partial(MEAN, state.params), 9)
  path = visit(lambda x: x @ GAIN, 9)
  error = np.abs(MEAN(state.params, path) - path @ GAIN)
  assert error.mean() < 0.03 < 0.1 < distances[1]
  assert np.abs(own - path).max() < 0.2 < 2 < np.ptp(path[:, 0])
  assert isinstance(state.moments, optax.ScaleByAdamState)


@pytest.mark.parametrize("name", ["capacity", "epochs", "batch_size", "label_batch_size"])
def test_sizes_that_are_not_positive_are_refused(name):
  with pytest.raises(ValueError, match=f"{name}=0 must be positive"):
    made(**{name: 0})
