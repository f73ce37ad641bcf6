"""Describes what jax computes on, and measures how fast it multiplies large matrices."""

from __future__ import annotations

import time

from experiments.benchmark.peers import protocol


def devices() -> dict:
  """Describes the first device and counts them all."""
  import jax

  device = jax.devices()[0]
  return {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()}


def matmul(dtype: str, size: int = 8192) -> dict:
  """Measures the rate of a large matrix product on one device, the best of five.

  In jax's default precision, which on some devices rounds float32, as the nets' products do.
  """
  import jax
  import jax.numpy as jnp

  x = jnp.ones((size, size), dtype)
  multiply = jax.jit(lambda x: jnp.matmul(x, x, preferred_element_type=jnp.float32))
  jax.block_until_ready(multiply(x))
  seconds = []
  for _ in range(5):
    start = time.perf_counter()
    jax.block_until_ready(multiply(x))
    seconds.append(time.perf_counter() - start)
  return {"flops": 2 * size**3 / min(seconds)}


if __name__ == "__main__":
  protocol.serve({"devices": devices, "matmul": matmul})
