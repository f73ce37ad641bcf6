"""Measures the machine's peak rate of float32 fused multiply-adds on all cores.

Runs a compiled C loop of independent vector multiply-adds in registers, one
thread per core. Without a C compiler, times a large matrix product in jax,
which stays somewhat below the peak.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import tempfile
import time

import jax
import jax.numpy as jnp

from experiments.benchmark.peers.protocol import cores

# Ten chains hide the latency of the multiply-add and fit the 16 registers of AVX2. The results
# are summed and used, so that the compiler cannot remove the loop.
KERNEL = r"""
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 10
#define LANES (BYTES / (int)sizeof(float))
typedef float vec __attribute__((vector_size(BYTES)));

static long rounds;

static void *work(void *out) {
  vec x[CHAINS], a, b;
  for (int l = 0; l < LANES; l++) {
    a[l] = 0.999999f;
    b[l] = 1e-6f;
    for (int c = 0; c < CHAINS; c++) x[c][l] = 1.0f + c;
  }
  for (long i = 0; i < rounds; i++) {
#pragma GCC unroll 10
    for (int c = 0; c < CHAINS; c++) x[c] = x[c] * a + b;
  }
  vec sum = x[0];
  for (int c = 1; c < CHAINS; c++) sum += x[c];
  for (int l = 0; l < LANES; l++) *(float *)out += sum[l];
  return 0;
}

static double run(int threads) {
  pthread_t id[threads];
  float out[threads];
  struct timespec t0, t1;
  clock_gettime(CLOCK_MONOTONIC, &t0);
  for (int t = 0; t < threads; t++) {
    out[t] = 0;
    pthread_create(&id[t], 0, work, &out[t]);
  }
  float total = 0;
  for (int t = 0; t < threads; t++) {
    pthread_join(id[t], 0);
    total += out[t];
  }
  clock_gettime(CLOCK_MONOTONIC, &t1);
  if (total == 0.5f) puts("");
  double seconds = (t1.tv_sec - t0.tv_sec) + 1e-9 * (t1.tv_nsec - t0.tv_nsec);
  return 2.0 * CHAINS * LANES * rounds * threads / seconds;
}

int main(int argc, char **argv) {
  int threads = atoi(argv[1]);
  rounds = atol(argv[2]);
  run(threads); /* warm up */
  double best = 0;
  for (int i = 0; i < 3; i++) {
    double flops = run(threads);
    if (flops > best) best = flops;
  }
  printf("%.6e\n", best);
  return argc != 3;
}
"""


class Peak:
  """Measures the peak; compiles once. A context manager that owns a temporary folder.

  Attributes:
    source: description of the measurement, for the report.
  """

  def __init__(self) -> None:
    """Compiles the kernel if there is a compiler."""
    self._folder = tempfile.TemporaryDirectory()
    self._binary = _build(pathlib.Path(self._folder.name))
    self.source = (
      f"C multiply-add loop, {cores()} threads"
      if self._binary
      else "jax matmul 4096, no C compiler"
    )

  def measure(self) -> float:
    """Returns floating-point operations per second."""
    if self._binary is None:
      return _matmul()
    command = [str(self._binary), str(cores()), "20000000"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

  def __enter__(self) -> Peak:
    """Returns itself."""
    return self

  def __exit__(self, *_: object) -> None:
    """Removes the temporary folder."""
    self._folder.cleanup()


def _build(folder: pathlib.Path) -> pathlib.Path | None:
  """Compiles the kernel for this machine; ``None`` if that fails."""
  compiler = shutil.which("gcc") or shutil.which("cc")
  if compiler is None:
    return None
  source, binary = folder / "peak.c", folder / "peak"
  source.write_text(KERNEL, encoding="ascii")
  flags = ["-O3", "-march=native", "-ffp-contract=fast", "-std=gnu11", "-pthread"]
  built = subprocess.run(
    [compiler, *flags, str(source), "-o", str(binary)], capture_output=True, check=False
  )
  return binary if built.returncode == 0 else None


def _matmul(size: int = 4096) -> float:
  """Returns the rate of a large float32 matrix product in jax, the best of three."""
  x = jnp.ones((size, size), jnp.float32)
  multiply = jax.jit(jnp.matmul)
  jax.block_until_ready(multiply(x, x))
  rates = []
  for _ in range(3):
    start = time.perf_counter()
    jax.block_until_ready(multiply(x, x))
    rates.append(2 * size**3 / (time.perf_counter() - start))
  return max(rates)
