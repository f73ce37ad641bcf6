"""How a program ends: by Ctrl-C, and when the machine or somebody else's code fails it."""

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

# What a user may interrupt: importing, compiling, what no one catches.
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
  ("error", "status", "said"),
  [
    (cli.UsageError("--a is b."), 2, "--a is b."),
    (OSError(errno.ENOSPC, "No space left", "x.csv"), 1, "x.csv: No space left."),
    (OSError(errno.EROFS, "Read-only"), 1, "Read-only."),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, None),
    (
      MemoryError("the state needs 9 GB"),
      1,
      "There is not enough memory: the state needs 9 GB",
    ),
    (MemoryError(), 1, "There is not enough memory: Python has none left"),
    (
      jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"),
      1,
      "Out of memory.",
    ),
    (
      NotImplementedError("vmap is only for\npure_callback"),
      1,
      "A function of the task's cannot be batched: vmap is only for pure_callback",
    ),
  ],
)
def test_what_is_no_fault_of_ours_is_a_sentence(error, status, said, capsys):
  assert cli.guarded(raises(error)) == status
  lines = capsys.readouterr().err.splitlines()
  assert lines == [] if said is None else len(lines) == 1 and said in lines[0]


@pytest.mark.parametrize("error", [ValueError("ours"), SystemExit(3), KeyboardInterrupt()])
def test_all_else_goes_on(error):
  with pytest.raises(type(error)):
    cli.guarded(raises(error))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_output_that_takes_nothing_is_a_sentence_and_said_once(monkeypatch, capfd):
  with open("/dev/full", "w") as full:
    monkeypatch.setattr(sys, "stdout", full)
    assert cli.guarded(lambda: print("result") or 0) == 1
    full.flush()  # as Python does when it ends
  assert capfd.readouterr().err == "error: No space left on device.\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
  ("words", "status", "said"),
  [
    ("--help >/dev/full", 1, "error: No space left on device.\n"),
    ("--runs=nowhere >&-", 2, "error: --runs=nowhere: there is no such folder.\n"),
  ],
)
def test_a_program_without_an_output_says_so_or_goes_on(words, status, said):
  line = f"exec {sys.executable} -m experiments.report {words}"
  done = subprocess.run(line, shell=True, cwd=ROOT, stderr=subprocess.PIPE, text=True)
  assert (done.returncode, done.stderr) == (status, said)


def test_libraries_in_the_background_do_not_say_that_the_disk_is_full():
  heard = []
  hook = cli.hushed(heard.append)
  for error in (OSError(errno.ENOSPC, "No space left on device"), ValueError("ours")):
    hook(types.SimpleNamespace(exc_value=error))
  assert [str(told.exc_value) for told in heard] == ["ours"]


def test_names_are_printed_as_they_are(capsys):
  cli.console().print("[red]a[/] :smile: [/]")
  assert capsys.readouterr().out == "[red]a[/] :smile: [/]\n"


def test_ctrl_c_is_one_sentence():
  begun = dict.fromkeys(("compiling", "deleting", "ending"), "begun\n")
  for moment, said in {"importing": "", **begun}.items():
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
