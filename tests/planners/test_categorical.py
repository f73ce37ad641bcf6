"""Mirror descent over categoricals, with property (g) of test_mirror_descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import categorical, make_planner

H, A, C, N = 3, 2, 4, 50
LOW, HIGH = jnp.asarray([[0.0, -1.0]] * H), jnp.asarray([[3.0, 5.0]] * H)


def problem(**settings):
  """Returns a search, a state that is not the initial one, and plans with their returns."""
  search = categorical(N, categories=C, **settings)
  p = jax.nn.softmax(jax.random.normal(jax.random.key(5), (H, A, C)))
  state = search.init(LOW, HIGH)._replace(probabilities=p)
  plans, state = search.sample(state, jax.random.key(0), N)
  return search, state, plans, jax.random.normal(jax.random.key(1), (N,))


def onehots(plans):
  """Returns ``[N, H, A, C]``, independently of the search: by the values of the levels."""
  gap = (HIGH - LOW) / (C - 1)
  values = np.asarray(LOW[..., None] + gap[..., None] * np.arange(C))
  return np.isclose(np.asarray(plans)[..., None], values).astype(np.float64)


def test_samples_are_levels_with_their_probabilities():
  search, state, *_ = problem()
  plans, state = search.sample(state, jax.random.key(2), 20_000)
  np.testing.assert_allclose(onehots(plans).mean(0), state.probabilities, atol=0.015)
  # Bounds 0 to C - 1 give action indices.
  assert set(np.unique(plans[..., 0])) == {0.0, 1.0, 2.0, 3.0}


@pytest.mark.parametrize(
  "settings",
  [
    {},
    {"utility": "threshold", "step_size": 1.0},
    {"divergence": "euclidean", "step_size": 3.0},
    {"divergence": "euclidean", "utility": "expected", "step_size": 3.0},
  ],
)
def test_g_rows_of_probabilities_sum_to_one(settings):
  search, state, *_ = problem(**settings)
  for i in range(10):
    plans, state = search.sample(state, jax.random.key(i), N)
    returns = jnp.sum(-jnp.square(plans), axis=(1, 2)).at[i].set(-jnp.inf)
    state = search.shift(search.update(state, plans, returns), i % 2)
    np.testing.assert_allclose(state.probabilities.sum(-1), 1.0, atol=1e-5)
    assert (state.probabilities >= 0).all()


@pytest.mark.parametrize("step_size", [0.0, 0.4, 1.0])
def test_the_kl_step_is_linear_in_the_probabilities(step_size):
  search, state, plans, returns = problem(utility="threshold", elites=7, step_size=step_size)
  best = np.argsort(-np.asarray(returns))[:7]
  expected = (1 - step_size) * state.probabilities + step_size * onehots(plans)[best].mean(0)
  after = search.update(state, plans, returns)
  np.testing.assert_allclose(after.probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("utility", ["exponential", "expected"])
def test_the_euclidean_step_is_gradient_descent_in_logits(utility):
  settings = {"utility": utility, "temperature": 0.8, "ess_fraction": 0.0, "step_size": 0.7}
  search, state, plans, returns = problem(divergence="euclidean", **settings)
  logits, chosen = jnp.log(state.probabilities), jnp.asarray(onehots(plans))

  def loss(logits):
    density = jnp.sum(jax.nn.log_softmax(logits) * chosen, axis=(1, 2, 3))
    if utility == "expected":
      return -jnp.mean((returns - returns.mean()) * density)
    ratio = jnp.exp(density - jax.lax.stop_gradient(density))
    return -jnp.log(jnp.mean(ratio * jnp.exp(returns / 0.8)))

  expected = jax.nn.softmax(logits - 0.7 * jax.grad(loss)(logits))
  after = search.update(state, plans, returns).probabilities
  np.testing.assert_allclose(after, expected, atol=1e-5)


def test_mode_is_executed_and_ties_go_to_the_middle():
  search, state, *_ = problem()
  levels = np.argmax(state.probabilities, -1)
  np.testing.assert_allclose(search.mean(state), LOW + levels * (HIGH - LOW) / (C - 1))
  odd = categorical(categories=5)
  np.testing.assert_allclose(odd.mean(odd.init(LOW, HIGH)), (LOW + HIGH) / 2)


def test_shift_mixes_in_the_uniform_distribution():
  search, state, *_ = problem(forget=0.2)
  p = np.asarray(state.probabilities)
  shifted = np.concatenate([p[1:], p[-1:]])
  after = search.shift(state, 1).probabilities
  np.testing.assert_allclose(after, 0.8 * shifted + 0.2 / C, atol=1e-6)


def test_proposal_between_levels_counts_for_the_nearer_one():
  search, state, *_ = problem(utility="threshold", elites=1, step_size=1.0)
  plans = jnp.broadcast_to(jnp.asarray([1.4, 1.2]), (1, H, A))  # levels 1.4 and 1.1
  after = search.update(state, plans, jnp.zeros(1))
  np.testing.assert_allclose(search.mean(after), [[1.0, 1.0]] * H, atol=1e-6)


def test_finds_a_sequence_of_discrete_actions():
  """The return is the number of correct actions in a sequence of four."""
  code = jnp.asarray([3.0, 1.0, 0.0, 2.0])
  score = lambda p, s, plans, k: jnp.sum(plans[..., 0] == code, axis=1).astype(jnp.float32)
  planner = make_planner(
    categorical(64, categories=5),
    score,
    horizon=4,
    action_low=[0],
    action_high=[4],
    iterations=8,
  )
  output, _ = jax.jit(planner.plan)(None, None, planner.init(), jax.random.key(0))
  np.testing.assert_array_equal(output.plan[:, 0], code)
