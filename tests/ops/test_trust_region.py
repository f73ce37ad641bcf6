"""Fisher products, conjugate gradients and line search against dense linear algebra."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
from mbrl_jax.ops.trust_region import (
  all_finite,
  conjugate_gradient,
  fisher_vector_product,
  line_search,
  npg_step_size,
  trpo_step_size,
)


def small_policy():
  """Returns a policy, parameters and observations, of which no Fisher entry is trivial."""
  policy = make_gaussian_policy(2, 2, hidden=(3,), log_std=[-0.4, 0.3])
  params = policy.init(jax.random.key(0))
  net = jax.tree.map(
    lambda x: x + 0.5 * jax.random.normal(jax.random.key(x.size), x.shape), params.net
  )
  return policy, params._replace(net=net), jax.random.normal(jax.random.key(2), (11, 2))


def dense(policy, params, obs):
  """Returns the parameters as a vector, and the divergence and its Hessian there."""
  theta, unravel = ravel_pytree(params)
  kl = lambda x: policy.kl(params, unravel(x), obs).mean()
  return theta, unravel, kl, jax.hessian(kl)(theta)


def test_fisher_products_are_those_of_the_hessian():
  policy, params, obs = small_policy()
  theta, unravel, _, hessian = dense(policy, params, obs)
  vector = jax.random.normal(jax.random.key(3), theta.shape)
  outputs = lambda p: (policy.mean(p, obs), p.log_std)
  metric = lambda y: (jnp.exp(-2 * params.log_std) * y[0] / len(obs), 2 * y[1])
  product = fisher_vector_product(outputs, metric, params, 0.25)
  got, _ = ravel_pytree(product(unravel(vector)))
  np.testing.assert_allclose(got, hessian @ vector + 0.25 * vector, rtol=1e-4, atol=1e-5)
  flat = fisher_vector_product(lambda x: outputs(unravel(x)), metric, theta, 0.25)(vector)
  np.testing.assert_allclose(flat, got, rtol=1e-4, atol=1e-5)


def test_the_hessian_is_the_expected_outer_product_of_scores():
  """Over actions by Gauss-Hermite quadrature, which is exact for these polynomials."""
  policy, params, obs = small_policy()
  theta, unravel, _, hessian = dense(policy, params, obs)
  nodes, weights = jnp.sqrt(3.0) * jnp.array([-1.0, 0.0, 1.0]), jnp.array([1, 4, 1]) / 6
  score = jax.grad(lambda x, obs, action: policy.log_prob(unravel(x), obs, action))
  total = 0.0
  for i in range(3):
    for j in range(3):
      noise = jnp.array([nodes[i], nodes[j]])
      action = policy.mean(params, obs) + jnp.exp(params.log_std) * noise
      scores = jax.vmap(score, (None, 0, 0))(theta, obs, action)
      total += weights[i] * weights[j] * scores.T @ scores / len(obs)
  np.testing.assert_allclose(total, hessian, atol=2e-5)
  assert jnp.linalg.matrix_rank(hessian) > 5


@pytest.mark.parametrize("start", ["zero", "target"])
def test_conjugate_gradients_solve_linear_systems(start):
  rng = np.random.default_rng(0)
  root = rng.normal(size=(6, 6))
  matrix = root @ root.T + np.eye(6)
  b = rng.normal(size=6).astype(np.float32)
  tree = lambda x: {"a": x[:2], "b": (x[2:].reshape(2, 2),)}
  product = lambda v: tree(jnp.asarray(matrix, jnp.float32) @ ravel_pytree(v)[0])
  first = tree(jnp.zeros(6) if start == "zero" else jnp.asarray(b))
  solve = jax.jit(lambda b, x0: conjugate_gradient(product, b, x0, iterations=30))
  got = solve(tree(jnp.asarray(b)), first)
  np.testing.assert_allclose(ravel_pytree(got)[0], np.linalg.solve(matrix, b), atol=1e-4)


def test_conjugate_gradients_stop_by_iterations_and_by_the_squared_residual():
  scales = jnp.array([1.0, 10.0, 100.0])
  product, b = lambda v: scales * v, jnp.ones(3)
  exact = b / scales
  error = lambda **options: float(
    jnp.abs(conjugate_gradient(product, b, b, **options) - exact).max()
  )
  assert error(iterations=1) > 0.1 > 1e-4 > error(iterations=10)
  residual = jnp.sum((b - product(b)) ** 2)
  still = conjugate_gradient(product, b, b, tolerance=residual * 1.01)
  chex.assert_trees_all_equal(still, b)
  moved = conjugate_gradient(product, b, b, tolerance=residual * 0.99)
  assert (moved != b).any()


def test_step_sizes_give_the_requested_divergence():
  matrix = jnp.array([[2.0, 0.5], [0.5, 1.0]])
  g = jnp.array([0.3, -0.7])
  x = jnp.linalg.solve(matrix, g)
  quadratic = lambda step: 0.5 * step @ matrix @ step
  product = lambda v: matrix @ v
  assert quadratic(npg_step_size(g, x, 0.08) * x) == pytest.approx(0.04, rel=1e-4)
  assert quadratic(trpo_step_size(product, x, 0.04) * x) == pytest.approx(0.04, rel=1e-4)
  # Also where conjugate gradients have not converged.
  assert quadratic(trpo_step_size(product, g, 0.04) * g) == pytest.approx(0.04, rel=1e-4)
  assert npg_step_size(g, -x, 0.08) == npg_step_size(g, x, 0.08)
  zero = jnp.zeros(2)
  assert (npg_step_size(zero, zero, 0.08) * zero == 0).all()
  assert (trpo_step_size(product, zero, 0.08) * zero == 0).all()


OBJECTIVE, KL = lambda x: -jnp.square(x - 1.0), lambda x: 0.5 * jnp.square(x)


def search(step, objective=OBJECTIVE, kl=KL, **options):
  options = {"max_kl": 1.0, "shrink": 0.5, **options}
  run = jax.jit(lambda x, step: line_search(objective, kl, x, step, **options))
  return run(jnp.float32(0.0), jnp.float32(step))


def test_the_first_trial_inside_the_trust_region_that_improves_is_taken():
  found = search(1.2)
  assert found.accepted and found.backtracks == 0 and found.params == jnp.float32(1.2)
  found = search(4.0)  # 4 and 2 diverge by 8 and 2
  assert found.accepted and found.backtracks == 2 and found.params == 1.0
  found = search(4.0, max_kl=100.0)  # 4 and 2 are no better than 0
  assert found.backtracks == 2 and found.objective == 0.0 and found.kl == 0.5
  found = search(1.8, min_improvement=1.0)  # which asks for 1 at 1.8, 0.5 at 0.9
  assert found.backtracks == 1 and found.params == jnp.float32(0.9)
  found = search(4.0, project=lambda x: jnp.minimum(x, 1.2))
  assert found.backtracks == 0 and found.params == jnp.float32(1.2)


@pytest.mark.parametrize(
  "options",
  [
    {"step": -1.0},
    {"step": 0.0},
    {"step": 4.0, "trials": 2},
    {"step": jnp.nan},
    {"step": jnp.inf},
    {"step": 1.0, "objective": lambda x: jnp.where(x == 0, 0.0, jnp.nan)},
    {"step": 1.0, "objective": lambda x: jnp.where(x == 0, 0.0, jnp.inf)},
    {"step": 1.0, "kl": lambda x: jnp.nan * x},
    {"step": 1.0, "kl": lambda x: jnp.full_like(x, -jnp.inf)},
  ],
)
def test_without_an_acceptable_trial_the_parameters_stay(options):
  found = search(**options)
  assert not found.accepted and found.params == 0.0
  assert found.backtracks == options.get("trials", 15) - 1


def test_finite_trees_are_recognised():
  assert all_finite(()) and all_finite({"a": jnp.ones(2), "b": jnp.zeros((), jnp.int32)})
  assert not all_finite((jnp.ones(2), jnp.array([0.0, jnp.inf])))
