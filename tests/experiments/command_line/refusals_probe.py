"""Calls programs with wrong command lines, each in a fork of this process after its imports.

  python tests/experiments/command_line/refusals_probe.py < cases.json > answers.json

Reads ``[[program, [argument, ...]], ...]``; writes ``[[status, stderr], ...]``.
"""

import importlib.util
import json
import os
import runpy
import sys
import tempfile
import traceback

PROGRAMS = (
  "benchmark", "check_env", "collect", "compare", "contact_sheet", "diagnose", "evaluate",
  "export", "mbmf", "plan", "plot", "render", "report", "sweep", "train",
)  # fmt: skip


def call(program, arguments):
  """Runs a program as ``python -m`` does; returns its exit status and stderr."""
  with tempfile.TemporaryFile() as stderr:
    child = os.fork()
    if not child:
      os.dup2(os.open(os.devnull, os.O_RDWR), 1)
      os.dup2(stderr.fileno(), 2)
      os._exit(status_of(program, arguments))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stderr.seek(0)
    return status, stderr.read().decode()


def module_of(program):
  """Returns the name of the module that ``python -m`` runs."""
  package = importlib.util.find_spec(f"experiments.{program}").submodule_search_locations
  return f"experiments.{program}.__main__" if package else f"experiments.{program}"


def status_of(program, arguments):
  sys.argv = [program, *arguments]
  del sys.modules[module_of(program)]
  try:
    runpy.run_module(f"experiments.{program}", run_name="__main__")
  except SystemExit as end:
    return end.code
  except BaseException:
    traceback.print_exc()
    return 99
  finally:
    sys.stderr.flush()


if __name__ == "__main__":
  for name in PROGRAMS:
    importlib.import_module(module_of(name))
  print(json.dumps([call(*case) for case in json.load(sys.stdin)]))
