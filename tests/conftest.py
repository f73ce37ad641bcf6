"""What all tests share."""

import gc
import os
import pathlib
import re
import time

import jax
import pytest

# Compiling takes most of the time: programs are kept, and a second run takes a fifth of it.
KEPT = {
  "jax_compilation_cache_dir": pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax",
  "jax_persistent_cache_min_compile_time_secs": 0.0,
  "jax_persistent_cache_min_entry_size_bytes": -1,
}
# What a machine may lack in a run with --no-skips.
ACCELERATOR = re.compile(r"accelerator|\bGPU|\bTPU|NVIDIA", re.IGNORECASE)
NO_TIME = "no time left"
STARTED = time.monotonic()


def pytest_addoption(parser):
  """Adds ``--no-skips`` and ``--minutes``, with which CI runs."""
  text = "fail where a test is skipped for want of anything but an accelerator"
  parser.addoption("--no-skips", action="store_true", help=text)
  text = "skip and list tests that would start later than after so many minutes"
  parser.addoption("--minutes", type=float, default=float("inf"), help=text)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
  """Ends a run on a slow machine before CI does."""
  if time.monotonic() - STARTED > 60 * item.config.getoption("minutes"):
    pytest.skip(NO_TIME)


def pytest_configure():
  """Lets jax keep compiled programs, those of processes that tests start, too."""
  for name, value in KEPT.items():
    jax.config.update(name, str(value) if isinstance(value, pathlib.Path) else value)
    os.environ[name.upper()] = str(value)


def pytest_collection_finish():
  """Spares the garbage collector the libraries' objects: a sixth of the time went there."""
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 20, 100)


def _refuse_skip(config, report):
  """Makes a failure of a skip whose reason names no accelerator."""
  if report.skipped and not hasattr(report, "wasxfail") and config.getoption("no_skips"):
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if NO_TIME not in reason and not ACCELERATOR.search(reason):
      report.outcome = "failed"
      report.longrepr = (
        f"{report.nodeid} was skipped ({reason}), and --no-skips allows that only for want of "
        "an accelerator: install what it misses (.ci/run does)."
      )
  return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
  """Refuses the skip of a test."""
  return _refuse_skip(item.config, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
  """Refuses the skip of a whole module."""
  return _refuse_skip(collector.config, (yield))


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
  """Frees what a module compiled: thousands of programs would slow down all that follow."""
  yield
  jax.clear_caches()
  gc.collect()
