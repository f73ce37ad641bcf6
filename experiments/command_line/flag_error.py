"""Turns what a builder refuses into an error that names the flag that was typed."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.command_line.cli import UsageError
from mbrl_jax.ops.validate import ArgumentError


class FlagError(UsageError):
  """A flag that cannot have its value.

  Attributes:
    refused: what is wrong; its ``argument`` is the flag, such as ``--config.steps``.
  """

  def __init__(self, refused: ArgumentError):
    super().__init__(refused)
    self.refused = refused


def flag_error(
  error: Exception, prefix: str = "--", flags: Mapping[str, str] | None = None
) -> UsageError:
  """Returns the error of the flag for the error of the argument.

  Args:
    error: of a builder, or of another flag that stands for the one that was typed. If it
      carries no argument its message stays as it is, but for a full stop.
    prefix: what makes a flag of the name of an argument: ``--config.``, ``--env.``.
    flags: of those arguments, or flags, whose flag is another.
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
