"""Keeps XLA from recomputing the same vectors on CPUs.

Kinematics computes each body's position and quaternion, a concatenation of few numbers, from
those of its parent. XLA's CPU compiler fuses such chains into one loop that recomputes all
inputs of every number, so the work grows exponentially with the depth of the tree: 64 chains
of 2, 4, 5 and 6 links took MJX 0.09, 1.2, 36 and 310 ms a step on two cores. With a barrier
after each concatenation it is linear: 0.2 ms with 6 links and 0.26 with 9. Other models are
not slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal

_CALLS = ("jit", "pjit", "closed_call")
_VECTORS = ("concatenate", "stack")
_BODIES = ("jaxpr", "body_jaxpr", "branches")  # of loops and conditionals


def add_barriers(function: Callable) -> Callable:
  """Returns ``function`` with a barrier after each concatenation, so that XLA cannot fuse it.

  Args:
    function: takes pytrees of arrays; it is traced whenever the result is.

  Returns:
    A function with the same values, for use inside ``jit``; it batches and differentiates
    like ``function``.
  """

  def with_barriers(*args: Any) -> Any:
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    leaves = _evaluate(closed, *jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

  return with_barriers


def _evaluate(closed: ClosedJaxpr, *args: Any) -> list[Any]:
  """Evaluates a jaxpr operation by operation, with barriers."""
  program = closed.jaxpr
  known = dict(zip(program.constvars, closed.consts, strict=True))
  known |= dict(zip(program.invars, args, strict=True))
  read = lambda x: x.val if isinstance(x, Literal) else known[x]
  for step in program.eqns:
    values = [read(x) for x in step.invars]
    results = _apply(step.primitive, step.params, values)
    known |= dict(zip(step.outvars, results, strict=True))
  return [read(x) for x in program.outvars]


def _apply(primitive: Any, params: dict[str, Any], values: list[Any]) -> list[Any]:
  """Applies one operation."""
  if primitive.name in _CALLS:
    return _evaluate(params["jaxpr"], *values)
  bodies = {name: _add_to_body(params[name]) for name in _BODIES if name in params}
  results = primitive.bind(*values, **primitive.get_bind_params({**params, **bodies}))
  if primitive.name in _VECTORS:
    results = jax.lax.optimization_barrier(results)
  return list(results) if primitive.multiple_results else [results]


def _add_to_body(body: Any) -> Any:
  """Adds barriers to the body of a loop, or to the branches of a conditional."""
  if isinstance(body, tuple):
    return tuple(_add_to_body(branch) for branch in body)
  return jax.make_jaxpr(lambda *args: _evaluate(body, *args))(*body.in_avals)
