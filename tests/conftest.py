"""What all tests share."""

import gc

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
  """Frees what a module compiled: thousands of programs would slow down all that follow."""
  yield
  jax.clear_caches()
  gc.collect()
