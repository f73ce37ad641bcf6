"""What all tests share."""

import gc
import pathlib

import jax
import pytest

# Compiling takes most of the time: programs are kept, and a second run takes a fifth of it.
KEPT = {
  "jax_compilation_cache_dir": pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax",
  "jax_persistent_cache_min_compile_time_secs": 0.0,
  "jax_persistent_cache_min_entry_size_bytes": -1,
}


def pytest_configure():
  """Lets jax keep the programs of the tests' own processes."""
  for name, value in KEPT.items():
    jax.config.update(name, str(value) if isinstance(value, pathlib.Path) else value)


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
  """Frees what a module compiled: thousands of programs would slow down all that follow."""
  yield
  jax.clear_caches()
  gc.collect()
