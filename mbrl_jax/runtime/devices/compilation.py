"""Finds what the present machine compiles best with, and compiles ahead of time."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from mbrl_jax.runtime.devices import memory


def has_avx512() -> bool:
  """Tells whether every core has AVX-512; false where the system does not say."""
  if platform.machine().lower() not in ("x86_64", "amd64"):
    return False
  try:
    return "avx512f" in Path("/proc/cpuinfo").read_text()
  except OSError:
    return False


def check_platform() -> None:
  """Starts the backend that ``JAX_PLATFORMS`` names, if it names any but the CPU.

  That one is always there, and how many devices it is may still have to be said.

  Raises:
    ValueError: jax finds no such device; says what to install.
  """
  chosen = jax.config.jax_platforms
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

  On CPUs the scheduler that minimises memory, and all 512 bits of AVX-512, which XLA
  does not prefer by itself, make planning a little faster.

  Args:
    backend: name of a jax backend; ``None`` is the default one.
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
  """Lets jax keep compiled programs in ``folder``, so the next start compiles nothing."""
  folder = Path(folder).absolute()
  folder.mkdir(parents=True, exist_ok=True)
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def compile_ahead(function: Callable, *arguments: Any) -> tuple[Callable, float]:
  """Compiles a jitted function for the shapes of ``arguments`` without running it.

  Returns:
    The compiled function, which raises ``TypeError`` on other shapes instead of
    compiling again, and the seconds it took.

  Raises:
    MemoryError: it needs more memory than its device has; XLA would end the process.
  """
  start = time.perf_counter()
  compiled = function.lower(*arguments).compile()
  seconds = time.perf_counter() - start
  needed = compiled.memory_analysis()
  if needed is not None:
    parts = needed.temp_size_in_bytes, needed.output_size_in_bytes
    memory.check_fits(sum(parts), "the compiled program", _memory_of_device())
  return compiled, seconds


def _memory_of_device() -> float | None:
  """Returns the bytes of the default device, ``None`` where it shares the machine's."""
  statistics = jax.local_devices()[0].memory_stats() or {}
  return statistics.get("bytes_limit")
