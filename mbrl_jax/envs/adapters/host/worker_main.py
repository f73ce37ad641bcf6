"""Starts a worker process, in which there is no jax: the program that ``worker_process`` runs.

Usage: ``python -P worker_main.py CONNECTION LIFE``, two file descriptors, see
``worker_server``. The first message is the ``sys.path`` of the parent.
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
  adapters = Path(__file__).resolve().parents[1]
  for name, path in (("mbrl_jax.envs", adapters.parent), ("mbrl_jax.envs.adapters", adapters)):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(path)]
  from mbrl_jax.envs.adapters.host import worker_server

  # An environment that uses them is to find them whole.
  for name in ("mbrl_jax.envs.adapters", "mbrl_jax.envs"):
    del sys.modules[name]
  worker_server.serve(connection, Connection(life))


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
