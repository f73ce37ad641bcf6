"""Importing any module of mbrl_jax has no side effects on the process."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# JAX and its companions (and scipy) set environment variables and warning filters on import, so
# they come before the first snapshot; other packages that do so must be imported lazily.
SCRIPT = """
import contextlib, importlib, io, json, os, pkgutil, sys, warnings
import chex, flax.linen, flax.struct, jax, jax.numpy, numpy, optax, scipy.io
from jax._src import xla_bridge

def snapshot():
  return {
    "environ": dict(os.environ),
    "jax.config": {name: repr(value) for name, value in jax.config.values.items()},
    "warnings.filters": [repr(f) for f in warnings.filters],
    "backends": sorted(xla_bridge._backends),
    "cwd": os.getcwd(),
    "numpy": repr(numpy.random.get_state()),
  }

def names():
  import mbrl_jax
  yield "mbrl_jax"
  yield from (m.name for m in pkgutil.walk_packages(mbrl_jax.__path__, "mbrl_jax."))

changes, before, count = [], snapshot(), 0
for name in names():
  output = io.StringIO()
  with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
    importlib.import_module(name)
  after, count = snapshot(), count + 1
  changes += [f"{name} changes {k}" for k in after if after[k] != before[k]]
  if output.getvalue():
    changes.append(f"{name} prints {output.getvalue()!r}")
  before = after
print(json.dumps({"changes": changes, "count": count, "backends": before["backends"]}))
"""


@pytest.fixture(scope="module")
def answer():
  # A minimal environment: other tests may have imported packages that set variables.
  kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
  environ = {k: v for k, v in os.environ.items() if k in kept}
  run = [sys.executable, "-c", SCRIPT]
  out = subprocess.run(run, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
  assert out.returncode == 0, out.stderr[-3000:]
  return json.loads(out.stdout.splitlines()[-1])


def test_imports_change_nothing(answer):
  assert answer["changes"] == []


def test_every_module_was_imported(answer):
  assert answer["count"] == len(list((ROOT / "mbrl_jax").rglob("*.py")))


def test_imports_start_no_backend(answer):
  assert answer["backends"] == []


def test_package_itself_imports_nothing_heavy():
  code = (
    "import sys, mbrl_jax; print([m for m in ('jax', 'mujoco', 'flax') if m in sys.modules])"
  )
  out = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
  )
  assert out.stdout.strip() == "[]"
