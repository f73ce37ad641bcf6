"""Imports what an extra of setup.py installs, or says how to install it."""

from __future__ import annotations

import contextlib
import importlib
import io
from types import ModuleType


def import_extra(module: str, extra: str | None = None) -> ModuleType:
  """Imports ``module`` without what it prints.

  Args:
    module: its full name.
    extra: the extra that installs it; by default named like the module.

  Raises:
    ImportError: it is not installed, or does not load; says how to install it.
  """
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      return importlib.import_module(module)
  except ImportError as error:
    raise ImportError(
      f'{module} cannot be imported ({error}); install it with: pip install "mbrl_jax'
      f'[{extra or module}]"'
    ) from error
