"""Walks that worker processes can import; some fail in a step. They must not import jax."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import numpy as np
from fake_gymnasium import Walk


class ShortWalk(Walk):
  """A plain walk."""

  threads = set()  # noqa: RUF012


class EndlessWalk(ShortWalk):
  """A walk that ends at its time limit only."""

  limit = 1e9


class UnseededWalk(EndlessWalk):
  """A walk that ignores its seed."""

  seeded = False


class ReportingWalk(EndlessWalk):
  """Observes its process id; the reward is one if jax is loaded there."""

  def _take(self, action):
    return self._show(), float("jax" in sys.modules), *super()._take(action)[2:]

  def _show(self):
    return np.array([os.getpid(), self.count])


class FailingWalk(EndlessWalk):
  """Fails on an action above 0.9."""

  def step(self, action):
    if action[0] > 0.9:
      self.fail()
    return super().step(action)


class Raising(FailingWalk):
  def fail(self):
    raise RuntimeError("the wheel came off")


class Leaving(FailingWalk):
  def fail(self):
    sys.exit(3)


class Exiting(FailingWalk):
  def fail(self):
    os._exit(4)


class Crashing(FailingWalk):
  def fail(self):
    os.kill(os.getpid(), signal.SIGSEGV)


class SpawningWalk(Crashing):
  """Starts a simulator process; the reward is its process id."""

  def __init__(self):
    super().__init__()
    self.simulator = subprocess.Popen(["sleep", "60"])

  def _take(self, action):
    obs, _, *rest = super()._take(action)
    return obs, self.simulator.pid, *rest

  def close(self):
    self.simulator.kill()
    self.simulator.wait()


class Killed(FailingWalk):
  def fail(self):
    os.kill(os.getpid(), signal.SIGKILL)


class Sleeping(FailingWalk):
  def fail(self):
    time.sleep(60)


class Holding(FailingWalk):
  """Sleeps while it holds Python's global lock."""

  def fail(self):
    ctypes.PyDLL(None).usleep(60_000_000)


class ClosingWalk(ReportingWalk):
  """Writes a file to the folder ``CLOSED`` when it is closed."""

  def close(self):
    with open(os.path.join(os.environ["CLOSED"], f"{os.getpid()}-{id(self)}"), "w"):
      pass


def make_only_here():
  """Makes an environment in the test process only."""
  if "pytest" not in sys.modules:
    raise OSError("no second licence")
  return EndlessWalk()
