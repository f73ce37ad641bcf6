"""Compiles the parts of an iteration for the benchmark, and times them one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


class PartJobs:
  """Times parts; keeps their programs between requests.

  Attributes:
    programs: compiled program and its arguments, by part.
    compile_seconds: of all parts.
  """

  def __init__(self) -> None:
    """Starts without parts."""
    self.programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
    self.compile_seconds = 0.0

  def add_part(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Compiles a part and runs it once; returns its result."""
    import jax

    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    jitted = jax.jit(function, compiler_options=compiler_options())
    program, seconds = compile_ahead(jitted, *arguments)
    self.programs[name] = program, arguments
    self.compile_seconds += seconds
    return jax.block_until_ready(program(*arguments))

  def turn(self, part: str) -> dict:
    """Runs a part once."""
    import jax

    program, arguments = self.programs[part]
    start = time.perf_counter()
    result = jax.block_until_ready(program(*arguments))
    seconds = time.perf_counter() - start
    floats = lambda x: jax.numpy.issubdtype(x.dtype, np.floating)  # keys are not
    leaves = filter(floats, jax.tree.leaves(result))
    return {"seconds": seconds, "finite": all(bool(np.isfinite(x).all()) for x in leaves)}
