"""How programs end: Ctrl-C, errors of the system, errors of user code."""

import errno
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest

from experiments.command_line import cli

ROOT = Path(__file__).parents[3]

# Interrupts itself while importing, compiling, deleting an object or exiting.
PROGRAM = """
import sys; sys.argv = ["-m"]
import experiments
sys.argv = ["program"]
import os, signal
stop = lambda: os.kill(os.getpid(), signal.SIGINT)
moment = sys.stdin.read()
if moment == "importing":
  stop()
import atexit, jax
from experiments.command_line import cli

def main(flags, dotted):
  print("begun", flush=True)
  if moment == "ending":
    atexit.register(stop)
  elif moment == "deleting":
    type("Deleted", (), {"__del__": lambda self: stop()})()  # Python drops what this raises
  else:
    jax.jit(lambda x: stop() or x)(1.0)  # while it is traced
  return 0

cli.run(main, lambda: None, "")
"""


def raises(error):
  def main():
    raise error

  return main


@pytest.mark.parametrize(
  ("error", "status", "message"),
  [
    (cli.UsageError("--a is b."), 2, "--a is b."),
    (OSError(errno.ENOSPC, "No space left", "x.csv"), 1, "x.csv: No space left."),
    (OSError(errno.EROFS, "Read-only"), 1, "Read-only."),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, None),
    (
      MemoryError("the state needs 9 GB"),
      1,
      "Out of memory: the state needs 9 GB",
    ),
    (MemoryError(), 1, "Out of memory: Python could not allocate more"),
    (
      jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"),
      1,
      "Out of memory.",
    ),
    (
      NotImplementedError("vmap is only for\npure_callback"),
      1,
      "A function of the task cannot be batched: vmap is only for pure_callback",
    ),
  ],
)
def test_errors_of_user_and_system_are_reported_in_one_line(error, status, message, capsys):
  assert cli.report_errors(raises(error)) == status
  lines = capsys.readouterr().err.splitlines()
  assert lines == [] if message is None else len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(3), KeyboardInterrupt()])
def test_other_exceptions_pass_through(error):
  with pytest.raises(type(error)):
    cli.report_errors(raises(error))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_output_is_reported_once(monkeypatch, capfd):
  with open("/dev/full", "w") as full:
    monkeypatch.setattr(sys, "stdout", full)
    assert cli.report_errors(lambda: print("result") or 0) == 1
    full.flush()  # as Python does on exit
  assert capfd.readouterr().err == "error: No space left on device.\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
  ("words", "status", "message"),
  [
    ("--help >/dev/full", 1, "error: No space left on device.\n"),
    ("--runs=nowhere >&-", 2, "error: --runs=nowhere is not a folder.\n"),
  ],
)
def test_a_full_stdout_is_an_error_and_a_closed_one_is_not(words, status, message):
  line = f"exec {sys.executable} -m experiments.report {words}"
  done = subprocess.run(line, shell=True, cwd=ROOT, stderr=subprocess.PIPE, text=True)
  assert (done.returncode, done.stderr) == (status, message)


def test_os_errors_of_background_threads_are_ignored():
  reported = []
  hook = cli.ignore_os_errors(reported.append)
  for error in (OSError(errno.ENOSPC, "No space left on device"), ValueError("a bug")):
    hook(types.SimpleNamespace(exc_value=error))
  assert [str(unraisable.exc_value) for unraisable in reported] == ["a bug"]


def test_the_console_prints_literally(capsys):
  cli.console().print("[red]a[/] :smile: [/]")
  assert capsys.readouterr().out == "[red]a[/] :smile: [/]\n"


def test_ctrl_c_prints_one_line_at_any_moment():
  begun = dict.fromkeys(("compiling", "deleting", "ending"), "begun\n")
  for moment, stdout in {"importing": "", **begun}.items():
    done = subprocess.run(
      [sys.executable, "-c", PROGRAM],
      input=moment,
      capture_output=True,
      text=True,
      check=False,
      cwd=ROOT,
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr[-2000:]
    assert (done.stdout, done.stderr) == (stdout, "stopped by Ctrl-C\n")
