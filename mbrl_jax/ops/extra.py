"""Imports optional dependencies; a missing one raises an error that names its extra."""

from __future__ import annotations

import contextlib
import importlib
import io
from types import ModuleType


def import_extra(module: str, extra: str | None = None) -> ModuleType:
  """Imports an optional ``module``; its output while loading is discarded.

  Args:
    module: full name.
    extra: the extra of setup.py that installs it; by default named like the module.

  Raises:
    ImportError: it is not installed or fails to load; gives the command that installs it.

  Example:
    >>> from mbrl_jax.ops.extra import import_extra
    >>> import_extra("json").loads("[1]")
    [1]
  """
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      return importlib.import_module(module)
  except ImportError as error:
    raise ImportError(
      f'{module} cannot be imported ({error}); install it with: pip install "mbrl_jax'
      f'[{extra or module}]"'
    ) from error
