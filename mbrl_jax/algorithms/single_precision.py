"""Algorithms compute in single precision whatever ``jax_enable_x64`` says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Algorithm, EnvSpec, TrainState


def in_single_precision(
  make: Callable[[EnvSpec, Any], Algorithm],
) -> Callable[[EnvSpec, Any], Algorithm]:
  """Returns a factory of the same algorithm with functions that are ``single``."""

  @functools.wraps(make)
  def made(spec: EnvSpec, config: Any) -> Algorithm:
    algorithm = single(make)(spec, config)
    functions = {
      name: single(getattr(algorithm, name)) for name in ("init", "reset", "act", "deploy")
    }
    diagnostics = algorithm.diagnostics
    if diagnostics.params is not None:
      diagnostics = diagnostics._replace(params=apart_from_rollout(diagnostics.params))
    if diagnostics.q is not None:
      diagnostics = diagnostics._replace(q=apart_from_rollout(diagnostics.q))
    preload = algorithm.preload
    if preload is not None:
      preload = preload._replace(fill=apart_from_rollout(preload.fill))
    return algorithm._replace(
      **functions,
      params=apart_from_rollout(algorithm.params),
      observe=apart_from_rollout(algorithm.observe),
      learn=apart_from_rollout(algorithm.learn),
      update=apart_from_rollout(algorithm.update),
      diagnostics=diagnostics,
      preload=preload,
    )

  return made


def apart_from_rollout(function: Callable) -> Callable:
  """Returns a ``single`` function of a state, whose environments keep their own width."""

  @functools.wraps(function)
  def call(state: TrainState, *arguments: Any) -> Any:
    result = single(function)(state._replace(rollout=None), *arguments)
    put_back = lambda x: x._replace(rollout=state.rollout) if isinstance(x, TrainState) else x
    return jax.tree.map(put_back, result, is_leaf=lambda x: isinstance(x, TrainState))

  return call
