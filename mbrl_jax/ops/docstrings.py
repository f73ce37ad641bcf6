"""Parses sections of Google-style docstrings, for help texts."""

from __future__ import annotations

import inspect
import re
from typing import Any


def entries(documented: Any, section: str) -> dict[str, str]:
  """Returns the entries of a section such as ``"Args"`` by name, each as one line.

  Args:
    documented: a function or a class; a class inherits the entries of its base classes.
    section: title of the section, without the colon.

  Example:
    >>> sorted(entries(entries, "Args"))
    ['documented', 'section']
  """
  sources = reversed(documented.__mro__) if isinstance(documented, type) else [documented]
  return {name: text for source in sources for name, text in _own(source, section).items()}


def _own(documented: Any, section: str) -> dict[str, str]:
  """Parses the section of one docstring."""
  text = inspect.cleandoc(documented.__doc__ or "").partition(f"{section}:\n")[2]
  text = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
  found = re.findall(r"^  (\w[\w, ]*): (.*(?:\n   +.*)*)", text, re.MULTILINE)
  return {
    name.strip(): " ".join(line.split()) for names, line in found for name in names.split(",")
  }
