"""Signals that stop a run, and children that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mbrl_jax.runtime.training.interrupt import Interrupt

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_is_stored_and_the_handlers_are_restored(number):
  before = signal.getsignal(number)
  with Interrupt() as interrupt:
    assert not interrupt
    os.kill(os.getpid(), number)
    assert interrupt and interrupt.signal == number
    assert signal.getsignal(number) == before
  assert signal.getsignal(number) == before


def test_sighup_stays_ignored_under_nohup():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with Interrupt() as interrupt:
      os.kill(os.getpid(), signal.SIGHUP)
      assert not interrupt
  finally:
    signal.signal(signal.SIGHUP, before)


HANG_UP = """
import fcntl, signal, sys, termios
from pathlib import Path
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # becomes the controlling terminal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
from mbrl_jax.runtime.training.interrupt import Interrupt
with Interrupt() as interrupt:
  print("ready", flush=True)
  while not interrupt:
    pass
  print("output to a closed terminal", flush=True)
  print("errors to a closed terminal", file=sys.stderr, flush=True)
  Path(sys.argv[1]).write_text(interrupt.signal.name)
"""


def test_a_run_that_loses_its_terminal_still_saves(tmp_path):
  terminal, child_end = os.openpty()
  command = [sys.executable, "-c", HANG_UP, tmp_path / "signal"]
  streams = dict.fromkeys(("stdin", "stdout", "stderr"), child_end)
  child = subprocess.Popen(command, **streams, start_new_session=True, cwd=ROOT)
  os.close(child_end)
  assert b"ready" in os.read(terminal, 100)
  os.close(terminal)
  assert child.wait() == 0
  assert (tmp_path / "signal").read_text() == "SIGHUP"


PARENT = """
import subprocess, sys, time
from pathlib import Path
from experiments.sweep import processes
child = processes.Processes(1).start([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]))
while "ready" not in Path(sys.argv[1]).read_text():
  time.sleep(0.01)
print("started", flush=True)
time.sleep(600)
"""
CHILD = """
import os, signal, sys, time
from mbrl_jax.runtime.training import interrupt
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(0)))
interrupt.end_with_parent()
assert interrupt.ENDS_WITH_STDIN not in os.environ
print("ready", flush=True)
time.sleep(600)
"""


def test_the_runs_of_a_sweep_end_when_the_sweep_is_killed(tmp_path):
  log = tmp_path / "log"
  command = [sys.executable, "-c", PARENT, log, CHILD]
  parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
  assert parent.stdout.readline() == "started\n"
  parent.kill()
  parent.wait()
  end = time.monotonic() + 60
  while "saved" not in log.read_text() and time.monotonic() < end:
    time.sleep(0.01)
  assert log.read_text().split() == ["ready", "saved"]
