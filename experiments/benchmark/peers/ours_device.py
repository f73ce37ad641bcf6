"""Describes jax's devices and measures their matrix-product peak."""

from __future__ import annotations

import time

from experiments.benchmark.peers import protocol


def devices() -> dict:
  """Returns platform and kind of the first device, and the number of devices."""
  import jax

  device = jax.devices()[0]
  return {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()}


def matmul(dtype: str, size: int = 8192) -> dict:
  """Measures the rate of a large matrix product on one device, the best of five.

  Uses jax's default precision, as the nets do; some devices round float32 inputs in it.
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
