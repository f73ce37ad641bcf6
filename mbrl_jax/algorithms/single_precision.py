"""Algorithms compute in single precision whatever ``jax_enable_x64`` says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mbrl_jax.ops.single import single
from mbrl_jax.types import Algorithm, EnvSpec, LearnFn, Metrics, TrainState


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
    insight = algorithm.insight
    if insight.params is not None:
      insight = insight._replace(params=single(insight.params))
    if insight.q is not None:
      insight = insight._replace(q=single(insight.q))
    return algorithm._replace(
      **functions,
      observe=apart_from_rollout(algorithm.observe),
      update=lambda state: _update(algorithm.update, state),
      insight=insight,
    )

  return made


def apart_from_rollout(function: Callable[..., TrainState]) -> Callable[..., TrainState]:
  """Returns a ``single`` function of a state whose environment keeps its own width."""

  @functools.wraps(function)
  def call(state: TrainState, *arguments: Any) -> TrainState:
    after = single(function)(state._replace(rollout=None), *arguments)
    return after._replace(rollout=state.rollout)

  return call


def _update(update: LearnFn, state: TrainState) -> tuple[TrainState, Metrics]:
  """Calls ``update`` likewise."""
  after, metrics = single(update)(state._replace(rollout=None))
  return after._replace(rollout=state.rollout), metrics
