"""Chooses compiler options for the machine, and compiles ahead of time."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from mbrl_jax.runtime.devices import memory


def has_avx512() -> bool:
  """Returns whether the CPU has AVX-512; false if the system does not report it."""
  if platform.machine().lower() not in ("x86_64", "amd64"):
    return False
  try:
    return "avx512f" in Path("/proc/cpuinfo").read_text()
  except OSError:
    return False


def check_platform() -> None:
  """Starts the backend that ``JAX_PLATFORMS`` names, unless it is the CPU.

  The CPU is always available, and its number of devices may still be set later.

  Raises:
    ValueError: jax finds no such device; names the package to install.
  """
  chosen = jax.config.jax_platforms  # type: ignore[attr-defined]  # jax adds it at run time
  if not chosen or chosen == "cpu":
    return
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:
    extra = {"cuda": "cuda13", "gpu": "cuda13", "tpu": "tpu"}.get(chosen.split(",")[0])
    install = f", after: pip install 'mbrl_jax[{extra}]'" if extra else ""
    raise ValueError(
      f"JAX_PLATFORMS={chosen}: jax finds no such device. It needs one{install}; or unset the "
      "variable."
    ) from error


def compiler_options(backend: str | None = None) -> dict[str, Any]:
  """Returns XLA options for ``jax.jit(..., compiler_options=...)`` on a backend.

  On CPUs the scheduler that minimises memory, and 512-bit AVX-512 vectors, which are not
  XLA's default, make planning a little faster.

  Args:
    backend: name of a jax backend; ``None`` is the default one.

  Example:
    >>> compiler_options("tpu")
    {}
  """
  if (backend or jax.default_backend()) != "cpu":
    return {}
  options: dict[str, Any] = {
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
  }
  if has_avx512():
    options["xla_cpu_prefer_vector_width"] = 512
  return options


def enable_compilation_cache(folder: Path | str) -> None:
  """Caches compiled programs in ``folder``, so that the next start need not compile them."""
  folder = Path(folder).absolute()
  folder.mkdir(parents=True, exist_ok=True)
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def compile_ahead(
  function: Callable[..., Any], *arguments: Any
) -> tuple[Callable[..., Any], float]:
  """Compiles a jitted function for the shapes of ``arguments`` without running it.

  Returns:
    The compiled function, which raises ``TypeError`` on other shapes instead of
    recompiling, and the seconds that compiling took.

  Raises:
    MemoryError: it needs more memory than its device has; XLA would end the process.

  Example:
    >>> double, seconds = compile_ahead(jax.jit(lambda x: 2 * x), 1.5)
    >>> float(double(4.0))
    8.0
  """
  start = time.perf_counter()
  jitted: Any = function  # jax has no public type for it
  compiled = jitted.lower(*arguments).compile()
  seconds = time.perf_counter() - start
  needed = compiled.memory_analysis()
  if needed is not None:
    parts = needed.temp_size_in_bytes, needed.output_size_in_bytes
    memory.check_fits(sum(parts), "the compiled program", _device_memory())
  return compiled, seconds


def _device_memory() -> float | None:
  """Returns the bytes of the default device, ``None`` if it uses the machine's memory."""
  statistics = jax.local_devices()[0].memory_stats() or {}
  return statistics.get("bytes_limit")
