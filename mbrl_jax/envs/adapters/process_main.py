"""Starts a worker process, in which there is no jax: the program that ``process`` runs.

Usage: ``python -P process_main.py CONNECTION LIFE``, two file descriptors, see ``serving``. The
first message is the ``sys.path`` of the parent.
"""

from __future__ import annotations

import sys
import types
from multiprocessing.connection import Connection
from pathlib import Path


def main(descriptor: int, life: int) -> None:
  """Finds what the parent finds, and serves."""
  connection = Connection(descriptor)
  try:
    sys.path[:] = connection.recv()
  except EOFError:
    return
  # The packages import jax: they are left empty while the modules in them are loaded.
  folder = Path(__file__).resolve().parent
  for name, path in (("mbrl_jax.envs", folder.parent), ("mbrl_jax.envs.adapters", folder)):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(path)]
  from mbrl_jax.envs.adapters import serving

  # An environment that uses them is to find them whole.
  for name in ("mbrl_jax.envs.adapters", "mbrl_jax.envs"):
    del sys.modules[name]
  serving.serve(connection, Connection(life))


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
