"""Algorithms compute in single precision whatever ``jax_enable_x64`` says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mbrl_jax.ops.single import single
from mbrl_jax.types import Algorithm, EnvSpec


def in_single_precision(
  make: Callable[[EnvSpec, Any], Algorithm],
) -> Callable[[EnvSpec, Any], Algorithm]:
  """Returns a factory of the same algorithm with functions that are ``single``."""

  @functools.wraps(make)
  def made(spec: EnvSpec, config: Any) -> Algorithm:
    algorithm = single(make)(spec, config)
    names = ("init", "reset", "act", "observe", "update", "deploy")
    functions = {name: single(getattr(algorithm, name)) for name in names}
    insight = algorithm.insight
    if insight.params is not None:
      insight = insight._replace(params=single(insight.params))
    if insight.q is not None:
      insight = insight._replace(q=single(insight.q))
    return algorithm._replace(**functions, insight=insight)

  return made
