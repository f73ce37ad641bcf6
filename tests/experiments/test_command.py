"""Ctrl-C ends a program with a sentence and status 130, whatever it is at."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What a user may interrupt: importing, compiling, what no one catches.
PROGRAM = """
import sys; sys.argv = ["-m"]
import experiments
sys.argv = ["program"]
import os, signal
stop = lambda: os.kill(os.getpid(), signal.SIGINT)
if sys.stdin.read() == "importing":
  stop()
import jax
from experiments import command

def main(flags, dotted):
  print("begun", flush=True)
  jax.jit(lambda x: stop() or x)(1.0)  # while it is traced
  return 0

command.run(main, lambda: None, "")
"""


def test_ctrl_c_is_one_sentence():
  for moment, said in (("importing", ""), ("compiling", "begun\n")):
    done = subprocess.run(
      [sys.executable, "-c", PROGRAM],
      input=moment,
      capture_output=True,
      text=True,
      check=False,
      cwd=ROOT,
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr[-2000:]
    assert (done.stdout, done.stderr) == (said, "stopped by Ctrl-C\n")
