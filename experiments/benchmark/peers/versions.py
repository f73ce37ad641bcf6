"""Looks up installed versions of a peer; standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version


def versions(library: str, venv: str, packages: Sequence[str]) -> dict[str, str]:
  """Returns the installed version of each package.

  Args:
    library: name of the peer, for the message.
    venv: name of its virtual environment, a key of ``install.PEERS``.
    packages: distributions to look up.

  Raises:
    ImportError: one is not installed; the message gives the command that installs the peer.
  """
  try:
    return {name: version(name) for name in packages}
  except PackageNotFoundError as error:
    raise not_installed(library, venv, error) from error


def not_installed(library: str, venv: str, error: ImportError) -> ImportError:
  """Returns an error that names the command that installs ``library``."""
  return ImportError(
    f"{error}. Install {library} with\n  python -m experiments.benchmark.peers.install {venv}\n"
    f"and pass --peer_python=peers/{venv}/bin/python to the benchmark."
  )
