"""Imports optional dependencies."""

from __future__ import annotations

import contextlib
import importlib
import io
from types import ModuleType


def import_extra(module: str, extra: str | None = None) -> ModuleType:
  """Imports an optional dependency, without its output.

  Args:
    module: full name of the module.
    extra: extra of the package that installs it; by default named like the module.

  Raises:
    ImportError: the module is not installed or fails to load; explains how to install it.
  """
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      return importlib.import_module(module)
  except ImportError as error:
    raise ImportError(
      f'{module} cannot be imported ({error}); install it with: pip install "mbrl_jax'
      f'[{extra or module}]"'
    ) from error
