"""Runs a program: its flags, its help, and errors of the user without a traceback."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from experiments import stop
from mbrl_jax.envs.adapters.failure import failure
from mbrl_jax.runtime.checkpoint import CheckpointError
from mbrl_jax.runtime.devices import check_platform
from mbrl_jax.runtime.interrupt import end_with_parent
from mbrl_jax.runtime.loop import Diverged, EnvironmentStopped
from mbrl_jax.runtime.run_folder import RunFolderError

USAGE = 2
"""Exit status of a command that asks for what there is not."""

Dotted = dict[str, dict[str, str]]
"""``{"config": {"planner.samples": "400"}, "env": {...}}`` from the command line."""


class UsageError(Exception):
  """A command that cannot be carried out; the message says why."""


def run(
  main: Callable[[flags.FlagValues, Dotted], int],
  define: Callable[[], None],
  doc: str,
  more_help: Callable[[list[str]], str] = lambda argv: "",
  repeated: str | None = None,
  groups: tuple[str, ...] = ("config", "env"),
) -> None:
  """Parses the command line, runs ``main`` and exits with its status.

  Args:
    main: ``(flags, dotted) -> exit status``.
    define: defines the absl flags; called here, so that importing a program
      defines none.
    doc: the program's docstring, shown by ``--help``.
    more_help: text under the flags, from the arguments given with ``--help``.
    repeated: a flag that takes all the words that follow it: ``--runs a b c``.
    groups: first parts of the dotted flags: ``--config.a.b=value``.
  """
  end_with_parent()
  define()
  dotted: Dotted = {group: {} for group in groups}

  def parse(argv: list[str]) -> list[str]:
    if any(word in ("--help", "-help", "-h", "--helpshort") for word in argv[1:]):
      with contextlib.suppress(BrokenPipeError):  # as by: ... --help | head
        print(f"{doc.strip()}\n\nFlags:\n{_flag_help()}\n{more_help(argv)}", flush=True)
      os._exit(0)
    rest = split(_repeat(argv, repeated), dotted)
    try:
      extra = flags.FLAGS(rest)[1:]
    except flags.Error as error:
      _fail(_hint(str(error)))
    if extra:
      _fail(f"Unexpected argument {extra[0]!r}; flags are written as --name=value.")
    return rest[:1]

  def start(argv: list[str]) -> None:
    # Orbax writes a page of information at each save: --verbosity=0 shows it.
    if not flags.FLAGS["verbosity"].present:
      absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("jax._src.callback").addFilter(is_no_failure)
    if signal.getsignal(signal.SIGINT) is stop:  # from now on there is what to put away
      signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
      sys.exit(guarded(lambda: _checked(main, dotted)))
    except KeyboardInterrupt:
      with contextlib.suppress(OSError):
        sys.stdout.flush()
      stop()

  app.run(start, flags_parser=parse)


def _checked(main: Callable[[flags.FlagValues, Dotted], int], dotted: Dotted) -> int:
  try:
    check_platform()
  except ValueError as error:
    raise UsageError(str(error)) from error
  return main(flags.FLAGS, dotted)


def is_no_failure(record: logging.LogRecord) -> bool:
  """Filters what jax logs: on accelerators the traceback of each callback that raises.

  ``guarded`` says in a sentence what an environment failed of.
  """
  return record.exc_info is None or failure(record.exc_info[1]) is None


def guarded(main: Callable[[], int]) -> int:
  """Calls ``main``; says what is wrong and returns a status where it is the user's doing."""
  try:
    return main()
  except (UsageError, RunFolderError) as error:
    print(f"error: {error}", file=sys.stderr)
    return USAGE
  except (CheckpointError, Diverged, EnvironmentStopped) as error:
    print(f"error: {error}", file=sys.stderr)
    return 1
  except Exception as error:
    reason = failure(error)
    if reason is None:
      raise
    print(f"error: {reason}", file=sys.stderr)
    return 1


def split(argv: list[str], dotted: Dotted) -> list[str]:
  """Moves ``--config.a.b=value`` from ``argv`` to ``dotted``, whose keys may stand first."""
  pattern = re.compile(rf"--?({'|'.join(dotted)})\.([\w.]+)(?:=(.*))?", re.DOTALL)
  rest, words = [], iter(argv)
  for word in words:
    match = pattern.fullmatch(word)
    if match is None:
      rest.append(word)
      continue
    group, name, value = match.groups()
    value = next(words, None) if value is None else value
    if value is None:
      _fail(f"{word} needs a value, as in {word}=1.")
    dotted[group][name] = value
  return rest


def refuse(dotted: Dotted) -> None:
  """Refuses dotted flags in a program that takes the config from the run.

  Raises:
    UsageError: names the first one.
  """
  for group, values in dotted.items():
    for name in values:
      raise UsageError(
        f"--{group}.{name}: the config is that of the run and cannot be changed."
      )


def _repeat(argv: list[str], name: str | None) -> list[str]:
  """Writes ``--name a b`` as ``--name=a --name=b``."""
  words: list[str] = []
  open_flag = False
  for word in argv:
    if word == f"--{name}":
      open_flag = True
    elif open_flag and not word.startswith("-"):
      words.append(f"--{name}={word}")
    else:
      open_flag = False if word.startswith("-") else open_flag
      words.append(word)
  return words


def _flag_help() -> str:
  """Describes the program's flags, without the line that says where its file lies."""
  return flags.FLAGS.main_module_help().strip().partition("\n")[2]


def _hint(message: str) -> str:
  """Adds the nearest flag to absl's message about an unknown one."""
  unknown = re.search(r"Unknown command line flag '([^']+)'", message)
  if not unknown or "Did you mean" in message:
    return message
  near = difflib.get_close_matches(unknown[1], list(flags.FLAGS), n=1)
  return message + (f" Did you mean {near[0]!r}?" if near else " See --help.")


def _fail(message: str) -> None:
  print(f"error: {message}", file=sys.stderr)
  sys.exit(USAGE)
