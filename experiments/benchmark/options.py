"""Defines, checks and parses the benchmark's flags."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

import mbrl_jax
from experiments.benchmark import grid
from experiments.benchmark.measures import envs
from experiments.benchmark.peers.sizes import SETTINGS, Sizes, make_sizes
from experiments.benchmark.request import PEERS, Request
from experiments.command_line.cli import UsageError
from experiments.command_line.flag_checks import LARGEST, check_different, check_most
from experiments.command_line.flag_error import flag_error
from mbrl_jax.ops.validate import choice

DTYPES = ("float32", "bfloat16")
LISTS = ("plans", "particles", "horizon")
NUMBERS = ("iterations", "members", "points", "epochs", "batch")

Axes = Mapping[str, Sequence[Any]]


def define(
  what: Sequence[str], default: Sequence[str], values: flags.FlagValues = flags.FLAGS
) -> None:
  """Defines the flags.

  Args:
    what: valid entries of ``--what``.
    default: default of ``--what``.
    values: the flag registry to define them in.
  """
  registry = {"flag_values": values}
  flags.DEFINE_list(
    "what", list(default), f"What to measure: any of {', '.join(what)}.", **registry
  )
  flags.DEFINE_enum("peer", "none", ["none", *PEERS], "Library to compare with.", **registry)
  flags.DEFINE_string(
    "peer_python",
    sys.executable,
    "Python interpreter in which the peer is installed.",
    **registry,
  )
  flags.DEFINE_integer("rounds", 3, "Number of interleaved rounds.", lower_bound=1, **registry)
  flags.DEFINE_list("dtypes", list(DTYPES), "Precisions of mbrl_jax's nets.", **registry)
  flags.DEFINE_list(
    "envs",
    ["pendulum", "cartpole"],
    "Tasks for --what=env, envs and collect. Without this flag, envs measures all tasks and "
    "collect four.",
    **registry,
  )
  text = "Physics engines for --what=envs: mujoco, mjx (compiles for minutes)."
  flags.DEFINE_list("engines", ["mujoco"], text, **registry)
  flags.DEFINE_float(
    "turn_seconds",
    0.5,
    "Seconds of one measurement of --what=envs and collect.",
    lower_bound=0.001,
    **registry,
  )
  _define_sizes(registry)
  flags.DEFINE_string(
    "out",
    "experiments/results/benchmark",
    "Path of the result files, without suffix.",
    **registry,
  )


def _define_sizes(registry: Mapping[str, Any]) -> None:
  """Defines the flags for the sizes of the jobs."""
  flags.DEFINE_enum(
    "setting", "cartpole", list(SETTINGS), "Task whose PETS sizes are the defaults.", **registry
  )
  for name in LISTS:
    text = f"Size of the job: {name}; a sweep takes a list. Default: the setting's."
    flags.DEFINE_list(name, None, text, **registry)
  for name in NUMBERS:
    text = f"Size of the job: {name}. Default: {getattr(Sizes, name)}."
    flags.DEFINE_integer(name, None, text, lower_bound=1, **registry)
  flags.DEFINE_list(
    "hidden", None, "Width of each hidden layer. Default: the setting's.", **registry
  )
  flags.DEFINE_list(
    "nets",
    None,
    "Nets as members x width x layers, in place of --members and --hidden.",
    **registry,
  )
  flags.DEFINE_list(
    "devices", None, "Numbers of devices for a sweep. Default: 1,2.", **registry
  )
  flags.DEFINE_float(
    "row_seconds",
    120.0,
    "Time limit of each row of a sweep, in seconds.",
    lower_bound=1.0,
    **registry,
  )


def check(values: flags.FlagValues, what: Sequence[str]) -> None:
  """Rejects unknown entries of list flags, and a peer that takes part in nothing requested.

  Raises:
    UsageError: names the flag, the value and the valid ones.
  """
  valid = {
    "what": what,
    "dtypes": DTYPES,
    "envs": mbrl_jax.list_envs(),
    "engines": list(envs.BATCHES),
  }
  for name, known in valid.items():
    if not values[name].value:
      raise UsageError(f"--{name} is empty; choose among {', '.join(known)}.")
    try:
      for value in values[name].value:
        choice(f"--{name}", value, known)
      check_different(f"--{name}", values[name].value)
    except ValueError as error:
      raise flag_error(error) from error
  if "sweep" not in values.what:
    for name in ("devices", "row_seconds"):
      if values[name].present:
        raise UsageError(f"--{name} belongs to --what=sweep.")
  if values.peer == "none" and values["peer_python"].present:
    raise UsageError(f"--peer_python={values.peer_python} belongs to --peer.")
  parts = PEERS[values.peer][1] if values.peer != "none" else values.what
  if not set(parts) & set(values.what):
    raise UsageError(f"--peer={values.peer} takes part in --what={','.join(parts)} only.")


def request(values: flags.FlagValues) -> Request:
  """Parses the flags into a request; takes the first value of each list.

  Raises:
    UsageError: a size does not parse or does not fit the others.
  """
  given: dict[str, Any] = {name: values[name].value for name in NUMBERS}
  for name in LISTS:
    listed = _integers(values, name)
    given[name] = listed and listed[0]
  if values.nets:
    given["members"], given["hidden"] = _nets(values)[0]
  else:
    hidden = _integers(values, "hidden")
    given["hidden"] = hidden and tuple(hidden)
  sizes = make_sizes(values.setting, **given)
  _check_members(sizes.particles, sizes.members)
  return Request(
    sizes=sizes,
    rounds=values.rounds,
    dtypes=tuple(values.dtypes),
    envs=tuple(values.envs),
    tasks=tuple(values.envs if values["envs"].present else mbrl_jax.list_envs()),
    tasks_given=values["envs"].present,
    engines=tuple(values.engines),
    turn_seconds=values.turn_seconds,
    peer=values.peer,
    peer_python=values.peer_python,
  )


def axes(values: flags.FlagValues) -> Axes:
  """Parses the axes of a sweep; an axis that is not given is the setting's.

  Raises:
    UsageError: a value does not parse or does not fit the others.
  """
  given = {name: _integers(values, name) for name in (*LISTS, "devices")}
  given |= {"nets": values.nets, "dtype": values.dtypes}
  if values.hidden or values.members:
    given["nets"] = [_nets_text(request(values).sizes)]
  found = {name: given[name] or grid.DEFAULTS[values.setting][name] for name in grid.AXES}
  for cell in grid.cells(found):
    _check_members(cell.particles, grid.parse_nets(cell.nets)[0])
  return found


def _nets_text(sizes: Sizes) -> str:
  """Formats members and hidden layers as an entry of ``--nets``."""
  if len(set(sizes.hidden)) > 1:
    listed = ",".join(map(str, sizes.hidden))
    raise UsageError(
      f"--hidden={listed}: all layers of a sweep's nets must have the same width."
    )
  return f"{sizes.members}x{sizes.hidden[0]}x{len(sizes.hidden)}"


def _nets(values: flags.FlagValues) -> list[tuple[int, tuple[int, ...]]]:
  """Parses ``--nets``."""
  if values.hidden or values.members:
    raise UsageError("--nets replaces --members and --hidden: give one or the other.")
  try:
    return [grid.parse_nets(text) for text in values.nets]
  except ValueError as error:
    raise UsageError(f"--nets: {error}.") from error


def _check_members(particles: int, members: int) -> None:
  """Raises unless every member gets equally many particles."""
  if particles % members:
    raise UsageError(f"--particles={particles} must be a multiple of --members={members}.")


def _integers(values: flags.FlagValues, name: str) -> list[int] | None:
  """Parses a list of positive integers; ``None`` if the flag is not given."""
  texts = values[name].value
  if texts is None:
    return None
  if not texts or not all(text.isdecimal() and int(text) > 0 for text in texts):
    example = "widths such as 200,200" if name == "hidden" else "numbers such as 100 or 100,200"
    raise UsageError(f"--{name} takes {example}, got {','.join(texts)!r}.")
  numbers = [int(text) for text in texts]
  try:
    for number in numbers:
      check_most(f"--{name}", number)
  except ValueError as error:
    raise flag_error(error) from error
  if max(numbers) > LARGEST:
    raise UsageError(f"--{name}={max(numbers)} is too large: {LARGEST} is the most.")
  return numbers
