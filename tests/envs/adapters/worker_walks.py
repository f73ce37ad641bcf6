"""Walks that worker processes can import; some meet a fate."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import numpy as np
from fake_gymnasium import Walk


class Short(Walk):
  """A walk as it is."""

  threads = set()  # noqa: RUF012


class Endless(Short):
  """A walk that only ends by its time limit."""

  limit = 1e9


class Unseeded(Endless):
  """Does not keep to its seed."""

  seeded = False


class Told(Endless):
  """Shows its process; the reward says whether there is jax in it."""

  def _take(self, action):
    return self._show(), float("jax" in sys.modules), *super()._take(action)[2:]

  def _show(self):
    return np.array([os.getpid(), self.count])


class Doomed(Endless):
  """Meets its fate on an action above 0.9."""

  def step(self, action):
    if action[0] > 0.9:
      self.fate()
    return super().step(action)


class Raising(Doomed):
  def fate(self):
    raise RuntimeError("the wheel came off")


class Leaving(Doomed):
  def fate(self):
    sys.exit(3)


class Exiting(Doomed):
  def fate(self):
    os._exit(4)


class Crashing(Doomed):
  def fate(self):
    os.kill(os.getpid(), signal.SIGSEGV)


class Starting(Crashing):
  """Starts a simulator, whose process it gives as the reward."""

  def __init__(self):
    super().__init__()
    self.simulator = subprocess.Popen(["sleep", "60"])

  def _take(self, action):
    obs, _, *rest = super()._take(action)
    return obs, self.simulator.pid, *rest

  def close(self):
    self.simulator.kill()
    self.simulator.wait()


class Killed(Doomed):
  def fate(self):
    os.kill(os.getpid(), signal.SIGKILL)


class Sleeping(Doomed):
  def fate(self):
    time.sleep(60)


class Holding(Doomed):
  """Keeps Python's global lock meanwhile."""

  def fate(self):
    ctypes.PyDLL(None).usleep(60_000_000)


class Closing(Told):
  """Leaves a file where it is closed, in the folder that a variable names."""

  def close(self):
    with open(os.path.join(os.environ["CLOSED"], f"{os.getpid()}-{id(self)}"), "w"):
      pass


def unfit():
  """Makes an environment in one process only."""
  if "pytest" not in sys.modules:
    raise OSError("no second licence")
  return Endless()
