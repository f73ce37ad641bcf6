"""Warnings of calls that take too long."""

import time

from mbrl_jax.runtime.training.watchdog import Watchdog


def test_a_call_that_takes_too_long_is_warned_of_once():
  warnings = []
  watchdog = Watchdog(warnings.append, patience=0.05, factor=2.0)
  with watchdog.watch():
    assert not warnings
  with watchdog.watch():
    time.sleep(0.3)
  assert len(warnings) == 1 and "SIGKILL" in warnings[0] and "0:00" in warnings[0]


def test_the_limit_grows_with_the_longest_call():
  warnings = []
  watchdog = Watchdog(warnings.append, patience=0.2, factor=10.0)
  with watchdog.watch():
    time.sleep(0.1)
  with watchdog.watch():
    time.sleep(0.4)  # longer than the patience, but not ten times the first call
  assert not warnings


def test_a_call_that_raised_is_not_warned_of():
  warnings = []
  watchdog = Watchdog(warnings.append, patience=0.05)
  try:
    with watchdog.watch():
      raise RuntimeError
  except RuntimeError:
    time.sleep(0.15)
  assert not warnings
