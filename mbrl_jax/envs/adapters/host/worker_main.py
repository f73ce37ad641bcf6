"""Starts a worker process, which never imports jax; ``worker_process`` runs this program.

Usage: ``python -P worker_main.py CONNECTION LIFE``, two file descriptors, see
``worker_server``. The first message is the ``sys.path`` of the parent.
"""

from __future__ import annotations

import sys
import types
from multiprocessing.connection import Connection
from pathlib import Path


def main(descriptor: int, life: int) -> None:
  """Takes over the parent's ``sys.path`` and serves."""
  connection = Connection(descriptor)
  try:
    sys.path[:] = connection.recv()
  except EOFError:
    return
  # These packages import jax: empty stand-ins replace them while their modules are loaded.
  adapters = Path(__file__).resolve().parents[1]
  for name, path in (("mbrl_jax.envs", adapters.parent), ("mbrl_jax.envs.adapters", adapters)):
    package = types.ModuleType(name)
    package.__path__ = [str(path)]
    sys.modules[name] = package
  from mbrl_jax.envs.adapters.host import worker_server

  # An environment that imports them must get the real packages.
  for name in ("mbrl_jax.envs.adapters", "mbrl_jax.envs"):
    del sys.modules[name]
  worker_server.serve(connection, Connection(life))


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
