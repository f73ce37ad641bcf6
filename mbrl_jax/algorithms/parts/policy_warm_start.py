"""Starts a run with the Gaussian policy of another run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.gaussian_actor import PolicyParams
from mbrl_jax.networks.gaussian_policy import GaussianPolicyParams
from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.ops.validate import NO_VALUE, ArgumentError
from mbrl_jax.types import Params, TrainState


def policy_warm_start(
  params_of: Callable[[TrainState], PolicyParams],
  put: Callable[[Any, GaussianPolicyParams, Normalizer], Any],
) -> Callable[[TrainState, Params], TrainState]:
  """Makes ``Algorithm.warm_start`` of an algorithm that acts by ``PolicyParams``.

  The scaling of the observations is part of the policy: without it the same weights are
  another function. A standard deviation outside the bounds of the new run is clamped by its
  first policy step.

  Args:
    params_of: ``Algorithm.params``.
    put: ``(learn, policy, scaling) -> learn``, replaces the policy in ``TrainState.learn``.

  Returns:
    ``(state, params) -> state``. It raises ``ValueError`` if ``params`` are not those of a
    Gaussian policy of the same sizes; names the first array that differs.

  Example:
    >>> import jax, mbrl_jax
    >>> spec = mbrl_jax.make_env("pendulum").spec
    >>> pal = mbrl_jax.make_algorithm("pal", spec)
    >>> one, other = (pal.init(jax.random.key(seed)) for seed in (0, 1))
    >>> warm = pal.warm_start(one, pal.params(other))
    >>> bool((pal.params(warm).policy.log_std == pal.params(other).policy.log_std).all())
    True
  """

  def warm_start(state: TrainState, params: Params) -> TrainState:
    if not isinstance(params, PolicyParams):
      text = (
        "must act by the Gaussian policy of npg, trpo, pal, mal, morel or dagger; dagger "
        "makes one that imitates a planner."
      )
      raise ArgumentError("params", NO_VALUE, text)
    check_same_shapes(params_of(state), params)
    policy, scaling = jax.tree.map(jnp.asarray, (params.policy, params.scaling))
    return state._replace(learn=put(state.learn, policy, scaling))

  return warm_start


def check_same_shapes(own: Params, other: Params) -> None:
  """Refuses the parameters of another run if their structure or shapes differ.

  Args:
    own: parameters of this run.
    other: those that would replace them.

  Raises:
    ValueError: names the first array that differs, with both shapes.
  """
  here, there = (_shapes(tree) for tree in (own, other))
  for path in [*here, *(path for path in there if path not in here)]:
    if here.get(path) != there.get(path):
      shapes = f"{there.get(path, 'missing')} there and {here.get(path, 'missing')} here"
      raise ArgumentError("params", NO_VALUE, f": {path} is {shapes}.")


def _shapes(tree: Any) -> dict[str, list[int]]:
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
  return {name(path): list(jnp.shape(leaf)) for path, leaf in leaves}
