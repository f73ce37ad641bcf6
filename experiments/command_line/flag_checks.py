"""Checks the values of flags: not empty, finite, not too large."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from mbrl_jax.ops.validate import LARGEST_SEED, ArgumentError

LARGEST = 2**31 - 1
"""Sizes and counts are 32-bit integers in compiled programs."""
LIMITS = {
  "seeds": (10_000, "each seed has its own files, rows and part of the program"),
  "devices": (1024, "each device has its own thread and buffers"),
  "iterations": (10_000, "each iteration is compiled with its own size"),
  "steps": (10_000_000, "a whole episode is stored for drawing"),
  "episode": (10_000_000, "rewards are summed step by step"),
  "horizon": (100_000, "a plan is simulated step by step"),
}
"""Largest value and reason, by the last part of a flag's name."""
REWORDED = (
  (r"invalid literal for int\(\) with base 10: .*", "expected an integer"),
  (r"could not convert string to float: .*", "expected a number"),
  (r"\('Non-boolean argument to boolean flag', .*\)", "expected true or false"),
  (r"^flag (--[^:]*):", r"\1:"),
)
"""Patterns of absl's messages and their replacements."""


def check_values(values: flags.FlagValues) -> None:
  """Checks every flag given on the command line.

  Raises:
    ValueError: a value is empty, another flag, not finite or too large; names the first such
      flag.
  """
  if "log_dir" in values and values["log_dir"].present:  # absl's own, without effect here
    near = " Did you mean --logdir?" if "logdir" in values else ""
    raise ValueError(f"Unknown flag --log_dir.{near}")
  for name in values:
    flag = values[name]
    if not flag.present:
      continue
    if flag.value == [] and flag.default != []:
      raise ValueError(f"--{name} is empty; omit it to use the default.")
    for value in flag.value if isinstance(flag.value, list) else [flag.value]:
      _check(name, value, may_be_empty=flag.default == "")


def _check(name: str, value: Any, may_be_empty: bool) -> None:
  if value == "" and not may_be_empty:
    raise ValueError(f"--{name} is empty; give a value or omit the flag.")
  if isinstance(value, str) and value.startswith("--"):
    raise ValueError(f"--{name} needs a value: {value!r}, which follows it, was taken for one.")
  if isinstance(value, float) and not abs(value) < float("inf"):
    raise ArgumentError(f"--{name}", value, "must be a finite number.")
  if not isinstance(value, int):
    return
  check_most(f"--{name}", value)
  if "seed" in name.split("_"):
    most, reason = LARGEST_SEED, "random keys are made from 32 bits"
  else:
    most, reason = LARGEST, "compiled programs count with 32 bits"
  if value > most:
    raise _too_large(f"--{name}", value, most, reason)


def check_most(flag: str, value: int) -> None:
  """Refuses a count for which a program would compile or allocate for hours.

  Args:
    flag: such as ``--config.planner.iterations``; its last part is looked up in ``LIMITS``.
    value: of the flag.

  Raises:
    ArgumentError: the value is above the limit; gives the limit and the reason.
  """
  most, reason = LIMITS.get(re.split(r"[.-]", flag)[-1], (float("inf"), ""))
  if value > most:
    raise _too_large(flag, value, most, reason)


def _too_large(flag: str, value: int, most: float, reason: str) -> ArgumentError:
  return ArgumentError(flag, value, f"is too large: the maximum is {most}, since {reason}.")


def check_different(flag: str, values: Sequence[Any]) -> None:
  """Refuses a list with duplicates.

  Raises:
    ValueError: names the flag and the value.
  """
  for value in values:
    if values.count(value) > 1:
      raise ValueError(f"{flag} lists {value} twice.")


def check_dotted(dotted: dict[str, dict[str, str]]) -> None:
  """Checks the names of dotted flags such as ``--config.a.b=value``.

  Raises:
    ValueError: a part between dots is empty; names the first such flag.
  """
  for group, values in dotted.items():
    for name in values:
      if not all(name.split(".")):
        raise ValueError(f"--{group}.{name} has an empty name; write --{group}.NAME=VALUE.")


def check_words(words: Iterable[str]) -> None:
  """Checks that the command line is valid UTF-8, so that it can be printed and stored.

  Raises:
    ValueError: names the first word that is not.
  """
  for word in words:
    try:
      word.encode()
    except UnicodeEncodeError as error:
      raise ValueError(f"{word!a} is not valid UTF-8.") from error


def reword(message: str, known: Iterable[str], groups: Iterable[str]) -> str:
  """Rewords absl's message about a flag; suggests the nearest name for an unknown one.

  Args:
    message: of a ``flags.Error``.
    known: names of all flags.
    groups: prefixes of dotted flags.
  """
  for pattern, replacement in REWORDED:
    message = re.sub(pattern, replacement, message)
  unknown = re.search(r"Unknown command line flag '([^']+)'", message)
  if not unknown:
    return message if message.endswith(".") else f"{message}."
  return f"Unknown flag --{unknown[1]}.{_suggestion(unknown[1], known, groups)}"


def _suggestion(unknown: str, known: Iterable[str], groups: Iterable[str]) -> str:
  group, dot, name = unknown.partition(".")
  if dot and name:
    found = difflib.get_close_matches(group, list(groups), n=1)
    near = [f"{found[0]}.{name}"] if found else []
  else:
    near = difflib.get_close_matches(unknown, list(known), n=1)
  return f" Did you mean --{near[0]}?" if near else " See --help."
