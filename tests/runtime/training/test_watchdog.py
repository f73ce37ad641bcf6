"""The watchdog barks once at a call that takes too long, and at no other."""

import time

from mbrl_jax.runtime.training.watchdog import Watchdog


def test_barks_once_at_what_takes_too_long():
  said = []
  watchdog = Watchdog(said.append, patience=0.05, times=2.0)
  with watchdog.watch():
    assert not said
  with watchdog.watch():
    time.sleep(0.3)
  assert len(said) == 1 and "SIGKILL" in said[0] and "0:00" in said[0]


def test_patience_grows_with_the_longest_call():
  said = []
  watchdog = Watchdog(said.append, patience=0.2, times=10.0)
  with watchdog.watch():
    time.sleep(0.1)
  with watchdog.watch():
    time.sleep(0.4)  # over the patience, but not ten times as long as the first
  assert not said


def test_a_call_that_fails_is_watched_no_more():
  said = []
  watchdog = Watchdog(said.append, patience=0.05)
  try:
    with watchdog.watch():
      raise RuntimeError
  except RuntimeError:
    time.sleep(0.15)
  assert not said
