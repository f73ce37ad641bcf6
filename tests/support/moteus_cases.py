"""Emulated moteus controllers that several tests use."""

import itertools
import time

import pytest

from hardware.emulators.moteus.bench import Bench
from hardware.emulators.moteus.controller import Controller, ControllerConfig
from hardware.emulators.moteus.physics import Inertia

IDS = (11, 12)
_channels = itertools.count()


def moteus_package():
  """Returns the maker's package; skips without it.

  A folder of tests has its name, and pytest's search path would find that one.
  """
  pytest.importorskip("moteus.multiplex")
  return pytest.importorskip("moteus")


def leg(config=None):
  """Returns a bench with two controllers, as of one leg."""
  return Bench([Controller(i, config or ControllerConfig()) for i in IDS], Inertia(len(IDS)))


def channel():
  """Returns the name of a virtual CAN channel that no other test uses."""
  return f"test-{next(_channels)}"


def soon(seconds=1.0):
  """Returns a deadline; an emulator on a busy machine may need most of it."""
  return time.monotonic() + seconds


def eventually(condition, seconds=3.0):
  """Reports whether ``condition`` becomes true in time."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    if condition():
      return True
    time.sleep(0.002)
  return False
