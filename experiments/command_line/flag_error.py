"""Converts argument errors of builders to errors that name the flag."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.command_line.cli import UsageError
from mbrl_jax.ops.validate import ArgumentError


class FlagError(UsageError):
  """An invalid value of a flag.

  Attributes:
    refused: the error; its ``argument`` is the flag, such as ``--config.steps``.
  """

  def __init__(self, refused: ArgumentError):
    super().__init__(refused)
    self.refused = refused


def flag_error(
  error: Exception, prefix: str = "--", flags: Mapping[str, str] | None = None
) -> UsageError:
  """Converts the error of an argument to that of its flag.

  Args:
    error: raised by a builder, or the error of another flag. An error without an argument
      keeps its message; a full stop is added if missing.
    prefix: turns the name of an argument into its flag: ``--config.``, ``--env.``.
    flags: exceptions to ``prefix``: the flag for each argument or flag.
  """
  if isinstance(error, FlagError):
    error = error.refused
  if not isinstance(error, ArgumentError):
    text = str(error)
    return UsageError(text if text.endswith((".", "!", "?")) else f"{text}.")
  typed = flags or {}

  def rename(name: str) -> str:
    return typed.get(name) or (name if name.startswith("--") else prefix + name)

  return FlagError(error.renamed(rename))
