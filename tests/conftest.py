"""What all tests share."""

import gc
import os
import pathlib

CACHE = {
  "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"),
  "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# Most of the time goes to compiling: each program is compiled once for all processes and runs.
for name, value in CACHE.items():
  os.environ.setdefault(name, value)

import jax  # noqa: E402, it reads the environment
import pytest  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
  """Frees what a module compiled: thousands of programs would slow down all that follow."""
  yield
  jax.clear_caches()
  gc.collect()
