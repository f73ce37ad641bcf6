"""Reads what Google docstrings say of arguments and attributes, for those who ask for help."""

from __future__ import annotations

import inspect
import re
from typing import Any


def entries(documented: Any, section: str) -> dict[str, str]:
  """Returns the texts of a section such as ``"Args"`` by name, each as one line.

  Args:
    documented: a class or function.
    section: its title, without the colon.
  """
  text = (inspect.getdoc(documented) or "").partition(f"{section}:\n")[2]
  text = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
  found = re.findall(r"^  (\w[\w, ]*): (.*(?:\n   +.*)*)", text, re.MULTILINE)
  return {
    name.strip(): " ".join(line.split()) for names, line in found for name in names.split(",")
  }
