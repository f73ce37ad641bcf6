"""The benchmark's flags, and what they ask for."""

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
    what: all that can be measured.
    default: what is measured if the command line does not say.
    values: where to define them.
  """
  here = {"flag_values": values}
  flags.DEFINE_list("what", list(default), f"What to measure, among {', '.join(what)}.", **here)
  flags.DEFINE_enum(
    "peer", "none", ["none", *PEERS], "Library to do the same beside ours.", **here
  )
  flags.DEFINE_string(
    "peer_python", sys.executable, "Python in which the peer is installed.", **here
  )
  flags.DEFINE_integer("rounds", 3, "Times that everybody takes a turn.", lower_bound=1, **here)
  flags.DEFINE_list("dtypes", list(DTYPES), "Precisions of our planning step.", **here)
  flags.DEFINE_list(
    "envs",
    ["pendulum", "cartpole"],
    "Tasks that --what=env, envs and collect step; envs takes all if none are given, collect "
    "four.",
    **here,
  )
  text = "What --what=envs steps tasks on: mujoco, and mjx, which compiles long."
  flags.DEFINE_list("engines", ["mujoco"], text, **here)
  flags.DEFINE_float(
    "turn_seconds",
    0.5,
    "With --what=envs and collect: seconds of a turn.",
    lower_bound=0.001,
    **here,
  )
  _define_sizes(here)
  flags.DEFINE_string(
    "out", "experiments/results/benchmark", "Result files, without suffix.", **here
  )


def _define_sizes(here: Mapping[str, Any]) -> None:
  """Defines the flags that say how large the jobs are; ``here``: where flags go."""
  flags.DEFINE_enum(
    "setting", "cartpole", list(SETTINGS), "The task whose PETS sizes to use.", **here
  )
  for name in LISTS:
    text = f"Size of the job: {name}; a sweep takes several. Default: the setting's."
    flags.DEFINE_list(name, None, text, **here)
  for name in NUMBERS:
    text = f"Size of the job: {name}. Default: {getattr(Sizes, name)}."
    flags.DEFINE_integer(name, None, text, lower_bound=1, **here)
  flags.DEFINE_list(
    "hidden", None, "Width of each hidden layer. Default: the setting's.", **here
  )
  flags.DEFINE_list(
    "nets", None, "Members x width x layers, for --members and --hidden.", **here
  )
  flags.DEFINE_list("devices", None, "Devices that a sweep uses. Default: 1,2.", **here)
  flags.DEFINE_float(
    "row_seconds", 120.0, "When to give a sweep's row up.", lower_bound=1.0, **here
  )


def check(values: flags.FlagValues, what: Sequence[str]) -> None:
  """Refuses entries of list flags that are not known, and a peer with nothing to do.

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
  """Reads the jobs' sizes, the first of each list, and who takes part.

  Raises:
    UsageError: a size that does not parse or does not fit the others.
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
    chosen=values["envs"].present,
    engines=tuple(values.engines),
    turn_seconds=values.turn_seconds,
    peer=values.peer,
    peer_python=values.peer_python,
  )


def axes(values: flags.FlagValues) -> Axes:
  """Reads the axes of a sweep; those of the setting where the command line has none.

  Raises:
    UsageError: a value that does not parse or does not fit the others.
  """
  given = {name: _integers(values, name) for name in (*LISTS, "devices")}
  given |= {"nets": values.nets, "dtype": values.dtypes}
  if values.hidden or values.members:
    given["nets"] = [_one_width(request(values).sizes)]
  found = {name: given[name] or grid.DEFAULTS[values.setting][name] for name in grid.AXES}
  for cell in grid.cells(found):
    _check_members(cell.particles, grid.parse_nets(cell.nets)[0])
  return found


def _one_width(sizes: Sizes) -> str:
  """Writes the nets as an axis of a sweep has them."""
  if len(set(sizes.hidden)) > 1:
    listed = ",".join(map(str, sizes.hidden))
    raise UsageError(f"--hidden={listed}: the nets of a sweep have layers of one width.")
  return f"{sizes.members}x{sizes.hidden[0]}x{len(sizes.hidden)}"


def _nets(values: flags.FlagValues) -> list[tuple[int, tuple[int, ...]]]:
  if values.hidden or values.members:
    raise UsageError("--nets says what --members and --hidden say: give one or the other.")
  try:
    return [grid.parse_nets(text) for text in values.nets]
  except ValueError as error:
    raise UsageError(f"--nets: {error}.") from error


def _check_members(particles: int, members: int) -> None:
  if particles % members:
    raise UsageError(f"--particles={particles} must be a multiple of --members={members}.")


def _integers(values: flags.FlagValues, name: str) -> list[int] | None:
  """Reads a list of positive integers, ``None`` where it was not given."""
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
