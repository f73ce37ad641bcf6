"""Runs a program: its flags, its help, and errors of the user without a traceback."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import rich.console
from absl import app, flags
from absl import logging as absl_logging

from experiments import stop
from experiments.command_line import flag_checks
from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime.devices.compilation import check_platform
from mbrl_jax.runtime.storage.checkpoint import CheckpointError
from mbrl_jax.runtime.storage.run_folder import RunFolderError
from mbrl_jax.runtime.training.interrupt import end_with_parent
from mbrl_jax.runtime.training.loop import Diverged, EnvironmentStopped
from mbrl_jax.runtime.user_error import blame, shorten

USAGE = 2
"""Exit status of a command that asks for what there is not."""
PIPE_CLOSED = 141
"""Exit status of a program whose output nobody reads, as shells write it."""

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
      try:
        print(f"{doc.strip()}\n\nFlags:\n{_flag_help()}\n{more_help(argv)}", flush=True)
      except BrokenPipeError:
        pass  # as by: ... --help | head
      except OSError as error:
        os._exit(_of_system(error))
      os._exit(0)
    return _parse(argv, dotted, repeated)

  def start(argv: list[str]) -> None:
    # Orbax writes a page of information at each save: --verbosity=0 shows it.
    if not flags.FLAGS["verbosity"].present:
      absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("jax._src.callback").addFilter(is_no_failure)
    sys.unraisablehook = hushed(sys.unraisablehook)
    threading.excepthook = hushed(threading.excepthook)
    if signal.getsignal(signal.SIGINT) is stop:  # from now on there is what to put away
      signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
      status = guarded(lambda: _checked(main, dotted))
      if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)  # nobody catches what libraries do at the end
      sys.exit(status)
    except KeyboardInterrupt:
      with contextlib.suppress(OSError):
        sys.stdout.flush()
      stop()

  for name in ("stdout", "stderr"):
    if getattr(sys, name) is None:  # it was closed, as by: ... >&-
      setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    getattr(sys, name).reconfigure(errors="backslashreplace")  # a terminal may know ASCII alone
  app.run(start, flags_parser=parse)


def console(width: int | None = None) -> rich.console.Console:
  """Returns the terminal, on which names are printed as they are: ``[red]`` is no colour.

  Args:
    width: columns where it is a file.
  """
  found = rich.console.Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
  if width is not None and not found.is_terminal:
    found.width = width
  return found


def _checked(main: Callable[[flags.FlagValues, Dotted], int], dotted: Dotted) -> int:
  try:
    check_platform()
  except ValueError as error:
    raise UsageError(str(error)) from error
  return main(flags.FLAGS, dotted)


def hushed(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
  """Returns a hook for errors in threads and at the end of Python without those of the system.

  Where a disk is full, libraries that write in the background say so at length besides us. A
  Ctrl-C that came where Python can only report it ends the program.
  """

  def hook_unless(told: Any) -> None:
    if isinstance(told.exc_value, KeyboardInterrupt):
      stop()
    if not isinstance(told.exc_value, OSError):
      hook(told)

  return hook_unless


def is_no_failure(record: logging.LogRecord) -> bool:
  """Filters what jax logs: on accelerators the traceback of each callback that raises.

  ``guarded`` says in a sentence what an environment, or a file of the user's, failed of.
  """
  error = record.exc_info and record.exc_info[1]
  return not error or not (failure(error) or blame(error))


def guarded(main: Callable[[], int]) -> int:
  """Calls ``main``; says what is wrong and returns a status where it is no fault of ours."""
  status = _called(main)
  try:
    sys.stdout.flush()
  except OSError as error:
    # What is left must go nowhere, or Python complains of it once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = status or _of_system(error)
  return status


def _called(main: Callable[[], int]) -> int:
  try:
    return main()
  except (UsageError, RunFolderError) as error:
    return _say(error, USAGE)
  except (CheckpointError, Diverged, EnvironmentStopped) as error:
    return _say(error, 1)
  except BaseException as error:
    reason = failure(error) or blame(error) or _no_memory(error) or _no_batch(error)
    if reason is not None:
      return _say(reason, 1)
    if isinstance(error, OSError):
      return _of_system(error)
    raise


def _of_system(error: OSError) -> int:
  """Says what the system refuses, such as to write to a full disk."""
  if isinstance(error, BrokenPipeError):
    return PIPE_CLOSED  # whoever read what we print has seen enough, as by: ... | head
  where = f"{error.filename}: " if error.filename else ""
  return _say(f"{where}{error.strerror or error}.", 1)


def _no_memory(error: BaseException) -> str | None:
  if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
    return None
  what = str(error).partition("\n")[0].rstrip(".") or "Python has none left"
  return f"There is not enough memory: {what}. Ask for less at once."


def _no_batch(error: BaseException) -> str | None:
  """Says what jax says of a callback of the user's, without its place, when it is batched."""
  if not isinstance(error, NotImplementedError) or "vmap" not in str(error):
    return None
  return f"A function of the task's cannot be batched: {shorten(str(error))}"


def _say(reason: object, status: int) -> int:
  print(f"error: {reason}", file=sys.stderr)
  return status


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


def _parse(argv: list[str], dotted: Dotted, repeated: str | None) -> list[str]:
  """Parses the command line into ``flags.FLAGS`` and ``dotted``; returns the program's name."""
  try:
    flag_checks.check_words(argv)
    rest = split(_repeat(argv, repeated), dotted)
    extra = flags.FLAGS(rest)[1:]
    if extra:
      _fail(f"Unexpected argument {extra[0]!r}; flags are written as --name=value.")
    flag_checks.check_values(flags.FLAGS)
    flag_checks.check_dotted(dotted)
  except (flags.Error, ValueError, OSError) as error:
    _fail(flag_checks.plain(str(error), flags.FLAGS, dotted))
  return rest[:1]


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


def _fail(message: str) -> None:
  print(f"error: {message}", file=sys.stderr)
  sys.exit(USAGE)
