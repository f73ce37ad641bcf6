"""Runs algorithms in single precision, also under ``jax_enable_x64``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Algorithm, EnvSpec, TrainState

Config = TypeVar("Config")


def in_single_precision(
  make: Callable[[EnvSpec, Config], Algorithm],
) -> Callable[[EnvSpec, Config], Algorithm]:
  """Decorates a factory of algorithms so that their functions are ``single``."""

  @functools.wraps(make)
  def make_single(spec: EnvSpec, config: Config) -> Algorithm:
    algorithm = single(make)(spec, config)
    functions = {
      name: single(getattr(algorithm, name)) for name in ("init", "reset", "act", "deploy")
    }
    diagnostics = algorithm.diagnostics
    if diagnostics.params is not None:
      diagnostics = diagnostics._replace(params=without_rollout(diagnostics.params))
    if diagnostics.q is not None:
      diagnostics = diagnostics._replace(q=without_rollout(diagnostics.q))
    preload = algorithm.preload
    if preload is not None:
      preload = preload._replace(fill=without_rollout(preload.fill))
    warm_start = algorithm.warm_start
    return algorithm._replace(
      **functions,
      params=without_rollout(algorithm.params),
      observe=without_rollout(algorithm.observe),
      learn=without_rollout(algorithm.learn),
      update=without_rollout(algorithm.update),
      diagnostics=diagnostics,
      preload=preload,
      warm_start=None if warm_start is None else without_rollout(warm_start),
    )

  return make_single


def without_rollout(function: Callable[..., Any]) -> Callable[..., Any]:
  """Makes a function of a TrainState ``single``, except for the states of its environments."""

  @functools.wraps(function)
  def call(state: TrainState, *arguments: Any) -> Any:
    result = single(function)(state._replace(rollout=None), *arguments)
    restore = lambda x: x._replace(rollout=state.rollout) if isinstance(x, TrainState) else x
    return jax.tree.map(restore, result, is_leaf=lambda x: isinstance(x, TrainState))

  return call
