"""Compiler options, compiling ahead of time, and platforms that are not available."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_only_cpus_get_compiler_options():
  options = compiler_options("cpu")
  assert "xla_cpu_scheduler_type" in options and compiler_options("tpu") == {}
  compiled, seconds = compile_ahead(
    jax.jit(lambda x: x + 1, compiler_options=options), jnp.zeros(3)
  )
  assert seconds > 0 and (np.asarray(compiled(jnp.zeros(3))) == 1).all()
  with pytest.raises(TypeError):
    compiled(jnp.zeros(4))


@pytest.mark.parametrize(
  ("platforms", "message"),
  [
    ("tpu", r"JAX_PLATFORMS=tpu: .*pip install 'mbrl_jax\[tpu\]'"),
    pytest.param("abacus", "or unset", marks=pytest.mark.slow),
  ],
)
def test_an_unavailable_platform_is_an_error_that_names_the_package(platforms, message):
  command = [sys.executable, "-m", "experiments.train", "--algo=sac", "--env=pendulum"]
  variables = os.environ | {"JAX_PLATFORMS": platforms, "PYTHONPATH": str(ROOT)}
  done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
  assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
  assert "Traceback" not in done.stderr
