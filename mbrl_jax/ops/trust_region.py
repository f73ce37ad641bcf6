"""Natural gradients and trust regions: Fisher products, step sizes and the line search.

To second order, a policy whose parameters move by ``x`` diverges from the current one by
``KL = 1/2 x^T F x``, where the Fisher matrix ``F`` is the Hessian of the KL divergence. The
natural gradient solves ``F x = g``. Parameters are pytrees, and ``F`` is never formed.

Sources: Kakade 2001, "A natural policy gradient"; Schulman et al. 2015, "Trust region policy
optimization", appendix C; Rajeswaran et al. 2017, "Towards generalization and simplicity in
continuous control", equation 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg

from mbrl_jax.types import Array, Params

Product = Callable[[Params], Params]
"""A symmetric matrix as ``(vector) -> product``, both of the shape of the parameters."""
ScalarFn = Callable[[Params], Array]
"""A function ``(params) -> []``."""


def fisher_vector_product(
  outputs: Callable[[Params], Params], metric: Product, params: Params, damping: Array | float
) -> Product:
  """Returns ``v -> J^T M J v + damping v``, the Fisher matrix of a distribution of outputs.

  ``J`` is the Jacobian of ``outputs``, the parameters of the distribution at all states, and
  ``M`` their Fisher matrix. At the current parameters this is exactly the Hessian of the KL
  divergence, at half the cost of differentiating it twice. ``outputs`` is linearised once.

  Args:
    outputs: ``(params) ->`` parameters of the distribution.
    metric: ``M`` as a product.
    params: the current parameters, at which ``F`` is taken.
    damping: ``[]``, makes the matrix positive definite.

  Example:
    >>> outputs, metric = lambda x: jnp.array([2.0 * x[0], x[1]]), lambda y: 0.5 * y
    >>> fisher_vector_product(outputs, metric, jnp.zeros(2), 0.5)(jnp.ones(2)).tolist()
    [2.5, 1.0]
  """
  _, jacobian = jax.linearize(outputs, params)
  transposed = jax.linear_transpose(jacobian, params)

  def product(v: Params) -> Params:
    (curved,) = transposed(metric(jacobian(v)))
    return jax.tree.map(lambda fv, x: fv + damping * x, curved, v)

  return product


def conjugate_gradient(
  product: Product,
  target: Params,
  start: Params,
  *,
  iterations: int = 10,
  tolerance: Array | float = 1e-10,
) -> Params:
  """Returns ``x`` such that ``product(x) = target``, by conjugate gradients from ``start``.

  Args:
    product: a positive definite matrix.
    target: the right-hand side.
    start: initial ``x``.
    iterations: maximum number of iterations.
    tolerance: stops once the squared residual is at most this, ``[]``.

  Example:
    >>> matrix = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    >>> b = jnp.array([3.0, 4.0])
    >>> conjugate_gradient(lambda v: matrix @ v, b, b).round(3).tolist()
    [1.0, 1.0]
  """
  limit = jnp.sqrt(tolerance)
  return cg(product, target, start, tol=0.0, atol=limit, maxiter=iterations)[0]


def npg_step_size(gradient: Params, direction: Params, delta: Array | float) -> Array:
  """Returns ``alpha = sqrt(|delta / (g^T x + 1e-10)|)``, ``[]``.

  With ``x = F^-1 g``, the KL divergence of the step ``alpha x`` is ``delta / 2``, to second
  order.

  Args:
    gradient: ``g``.
    direction: ``x``.
    delta: normalised step size, ``[]``.
  """
  return jnp.sqrt(jnp.abs(delta / (optax.tree.vdot(gradient, direction) + 1e-10)))


def trpo_step_size(product: Product, direction: Params, max_kl: Array | float) -> Array:
  """Returns ``alpha = sqrt(2 max_kl / (x^T F x + 1e-10))``, ``[]``.

  The step ``alpha x`` has a KL divergence of ``max_kl`` to second order, whether or not ``x``
  solves ``F x = g``.

  Args:
    product: ``v -> F v``.
    direction: ``x``.
    max_kl: radius of the trust region, ``[]``.
  """
  curvature = optax.tree.vdot(direction, product(direction))
  return jnp.sqrt(2 * max_kl / (jnp.maximum(curvature, 0.0) + 1e-10))


class LineSearch(NamedTuple):
  """Result of the line search.

  Attributes:
    params: the accepted parameters, or the current ones.
    accepted: ``[]`` bool.
    backtracks: ``[]`` int32, how many times the step was shortened.
    objective: ``[]`` at the last trial.
    kl: ``[]`` of the last trial.
    tried: the parameters of the last trial.
  """

  params: Params
  accepted: Array
  backtracks: Array
  objective: Array
  kl: Array
  tried: Params


def line_search(
  objective: ScalarFn,
  kl: ScalarFn,
  params: Params,
  step: Params,
  *,
  max_kl: Array | float,
  shrink: Array | float = 0.8,
  trials: int = 15,
  min_improvement: Array | float = 0.0,
  project: Callable[[Params], Params] = lambda params: params,
) -> LineSearch:
  """Shortens a step until the objective improves within the trust region.

  Tries ``project(params + shrink^k step)`` for ``k = 0, 1, ...`` and accepts the first whose
  parameters, objective and KL are finite, with ``objective - before > min_improvement
  shrink^k`` and ``kl <= max_kl``. If there is none, the parameters stay as they are.

  Args:
    objective: to be maximised.
    kl: KL divergence from the policy of ``params``.
    params: the current parameters.
    step: the full step.
    max_kl: radius of the trust region, ``[]``.
    shrink: factor between successive trials, ``[]``.
    trials: maximum number of step lengths.
    min_improvement: required improvement of the full step, ``[]``, such as a fraction of
      ``g^T step``.
    project: maps parameters to valid ones, such as by clipping.

  Example:
    >>> objective, kl = lambda x: -((x - 1.0) ** 2), lambda x: 0.5 * x**2
    >>> found = line_search(
    ...   objective, kl, jnp.float32(0.0), jnp.float32(4.0), max_kl=1.0, shrink=0.5
    ... )
    >>> found.params.item(), found.backtracks.item(), found.kl.item()
    (1.0, 2, 0.5)
  """
  before = objective(params)

  def trial(k: Array) -> LineSearch:
    length = jnp.asarray(shrink, jnp.float32) ** k
    moved = project(jax.tree.map(lambda x, dx: x + length * dx, params, step))
    value, distance = objective(moved), kl(moved)
    accepted = (value - before > min_improvement * length) & (distance <= max_kl)
    accepted &= all_finite((moved, value, distance))
    return LineSearch(params, accepted, k, value, distance, moved)

  first = trial(jnp.zeros((), jnp.int32))
  last = jax.lax.while_loop(
    lambda found: ~found.accepted & (found.backtracks < trials - 1),
    lambda found: trial(found.backtracks + 1),
    first,
  )
  return last._replace(params=select(last.accepted, last.tried, params))


def all_finite(tree: Params) -> Array:
  """Reports whether all numbers of a pytree are finite, ``[]`` bool."""
  leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
  return jnp.stack(leaves).all() if leaves else jnp.ones((), bool)


def select(condition: Array, new: Params, old: Params) -> Params:
  """Returns ``new`` where the condition ``[]`` holds, else ``old``, bit for bit."""
  return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
