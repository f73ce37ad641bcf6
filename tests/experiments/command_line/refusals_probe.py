"""Calls programs with wrong command lines, each in a fork of this process: imports come once.

  python tests/experiments/command_line/refusals_probe.py < cases.json > answers.json

``[[program, [argument, ...]], ...]`` is answered by ``[[status, what stderr says], ...]``.
"""

import importlib.util
import json
import os
import runpy
import sys
import tempfile
import traceback

PROGRAMS = (
  "benchmark", "check_env", "compare", "contact_sheet", "diagnose", "evaluate", "export",
  "plan", "plot", "render", "report", "sweep", "train",
)  # fmt: skip


def call(program, arguments):
  """Runs a program as ``python -m`` does; returns its status and what it said."""
  with tempfile.TemporaryFile() as said:
    child = os.fork()
    if not child:
      os.dup2(os.open(os.devnull, os.O_RDWR), 1)
      os.dup2(said.fileno(), 2)
      os._exit(status_of(program, arguments))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said.seek(0)
    return status, said.read().decode()


def module_of(program):
  """Names the module that ``python -m`` runs."""
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
