"""Imports packages of the extra ``hardware`` where they are used."""

from __future__ import annotations

import importlib
from types import ModuleType


def optional_package(module: str, package: str, command: str = "") -> ModuleType:
  """Returns an imported module.

  Args:
    module: to import, such as ``can``.
    package: that contains it, such as ``python-can``.
    command: that installs it; the extra ``hardware`` by default.

  Raises:
    ImportError: it is not installed; says how to install it.
  """
  command = command or "pip install 'mbrl_jax[hardware]'"
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise ImportError(f"This needs {package}: {command} ({error})") from error
