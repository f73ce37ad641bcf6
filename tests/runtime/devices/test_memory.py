"""Memory limits, and allocations that exceed them."""

import jax
import jax.numpy as jnp
import pytest

from mbrl_jax.runtime.devices import memory
from mbrl_jax.runtime.devices.compilation import compile_ahead


def test_the_lowest_limit_counts(tmp_path, monkeypatch):
  machine = memory.total_bytes()
  assert 1e8 < machine < 1e16
  monkeypatch.setattr(memory, "CGROUP", tmp_path)
  (tmp_path / "memory.max").write_text("max\n")
  assert memory.total_bytes() >= machine
  (tmp_path / "memory.max").write_text("1000000\n")
  assert memory.total_bytes() == 1e6
  memory.check_fits(1e6, "the state")
  with pytest.raises(MemoryError, match=r"the state needs 20 GB, but the limit is 0\.00 GB"):
    memory.check_fits(2e10, "the state")
  memory.check_fits(2e10, "the state", available=3e10)


def test_a_program_is_rejected_for_large_results_and_large_temporaries():
  ones = jnp.ones(1000)
  outer = lambda x: jnp.outer(x, jnp.arange(10**11, dtype=jnp.float32))
  for function in (outer, lambda x: jnp.sort(outer(x)).sum()):
    with pytest.raises(MemoryError, match=r"the compiled program needs \d{3},\d{3} GB, but"):
      compile_ahead(jax.jit(function), ones)
  assert compile_ahead(jax.jit(jnp.sum), ones)[0](ones) == 1000
