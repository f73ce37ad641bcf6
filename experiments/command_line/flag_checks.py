"""Refuses what no flag may be: empty, not finite, too large; and says so in plain words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags

from mbrl_jax.ops.validate import LARGEST_SEED, ArgumentError

LARGEST = 2**31 - 1
"""Sizes and counts are 32-bit integers in compiled programs."""
MOST = {
  "seeds": (10_000, "each has files, rows and a compiled part of its own"),
  "devices": (1024, "each gets a thread and buffers of its own"),
  "iterations": (10_000, "each is compiled with a size of its own"),
  "steps": (10_000_000, "an episode is kept whole to be drawn"),
  "episode": (10_000_000, "its rewards are added up step by step"),
  "horizon": (100_000, "a plan is simulated step by step"),
}
"""The most that some counts may be, and why."""
PLAIN = (
  (r"invalid literal for int\(\) with base 10: .*", "it takes a whole number"),
  (r"could not convert string to float: .*", "it takes a number"),
  (r"\('Non-boolean argument to boolean flag', .*\)", "it is true or false"),
  (r"^flag (--[^:]*):", r"\1:"),
)
"""What absl says, and what it means."""


def check_values(values: flags.FlagValues) -> None:
  """Checks every flag that was typed.

  Raises:
    ValueError: names the first that is empty, no finite number or too large.
  """
  if "log_dir" in values and values["log_dir"].present:  # absl's own; it would be ignored
    near = " Did you mean --logdir?" if "logdir" in values else ""
    raise ValueError(f"--log_dir is no flag of this program.{near}")
  for name in values:
    flag = values[name]
    if not flag.present:
      continue
    if flag.value == [] and flag.default != []:
      raise ValueError(f"--{name} is empty; leave it out for its default.")
    for value in flag.value if isinstance(flag.value, list) else [flag.value]:
      _check(name, value, may_be_empty=flag.default == "")


def _check(name: str, value: Any, may_be_empty: bool) -> None:
  if value == "" and not may_be_empty:
    raise ValueError(f"--{name} is empty; give it a value or leave it out.")
  if isinstance(value, float) and not abs(value) < float("inf"):
    raise ArgumentError(f"--{name}", value, "must be a finite number.")
  if not isinstance(value, int):
    return
  check_most(f"--{name}", value)
  if "seed" in name.split("_"):
    most, reason = LARGEST_SEED, "random keys are made of 32 bits"
  else:
    most, reason = LARGEST, "compiled programs count with 32 bits"
  if value > most:
    raise ArgumentError(
      f"--{name}", value, f"is too large: {most} is the most, since {reason}."
    )


def check_most(flag: str, value: int) -> None:
  """Refuses a count at which a program would compile or allocate for hours.

  Args:
    flag: such as ``--config.planner.iterations``, whose last part is looked up in ``MOST``.
    value: of the flag.

  Raises:
    ArgumentError: says the most and the reason.
  """
  most, reason = MOST.get(re.split(r"[.-]", flag)[-1], (float("inf"), ""))
  if value > most:
    raise ArgumentError(flag, value, f"is too large: {most} is the most, since {reason}.")


def check_different(flag: str, values: Sequence[Any]) -> None:
  """Refuses a list that names something twice.

  Raises:
    ValueError: names the flag and the value.
  """
  for value in values:
    if values.count(value) > 1:
      raise ValueError(f"{flag} names {value} twice.")


def check_dotted(dotted: dict[str, dict[str, str]]) -> None:
  """Checks the values of dotted flags such as ``--config.a.b=value``.

  Raises:
    ValueError: names the first without a name between its dots.
  """
  for group, values in dotted.items():
    for name in values:
      if not all(name.split(".")):
        raise ValueError(f"--{group}.{name} has an empty name; write --{group}.NAME=VALUE.")


def check_words(words: Iterable[str]) -> None:
  """Checks that the command line can be printed and written to files.

  Raises:
    ValueError: a word is not text.
  """
  for word in words:
    try:
      word.encode()
    except UnicodeEncodeError as error:
      raise ValueError(f"{word!a} is not text: it is no UTF-8.") from error


def plain(message: str, known: Iterable[str], groups: Iterable[str]) -> str:
  """Rewrites absl's message about a flag.

  Args:
    message: of a ``flags.Error``.
    known: names of all flags, of which the nearest is told.
    groups: first parts of dotted flags.
  """
  for pattern, meaning in PLAIN:
    message = re.sub(pattern, meaning, message)
  unknown = re.search(r"Unknown command line flag '([^']+)'", message)
  if not unknown:
    return message if message.endswith(".") else f"{message}."
  return f"--{unknown[1]} is no flag of this program.{_nearest(unknown[1], known, groups)}"


def _nearest(unknown: str, known: Iterable[str], groups: Iterable[str]) -> str:
  group, dot, name = unknown.partition(".")
  if dot and name:
    found = difflib.get_close_matches(group, list(groups), n=1)
    near = [f"{found[0]}.{name}"] if found else []
  else:
    near = difflib.get_close_matches(unknown, list(known), n=1)
  return f" Did you mean --{near[0]}?" if near else " See --help."
