"""Runs a program: parses flags, prints help, reports user errors without a traceback."""

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
"""Exit status of wrong usage."""
PIPE_CLOSED = 141
"""Exit status after a closed output pipe, 128 + SIGPIPE as in shells."""

Dotted = dict[str, dict[str, str]]
"""``{"config": {"planner.samples": "400"}, "env": {...}}`` from the command line."""


class UsageError(Exception):
  """Wrong usage of a program; the message is printed without a traceback."""


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
    doc: the program's docstring, printed by ``--help``.
    more_help: ``(argv) -> text`` that ``--help`` prints below the flags.
    repeated: a flag that accepts several words: ``--runs a b c``.
    groups: prefixes of the dotted flags: ``--config.a.b=value``.
  """
  end_with_parent()
  define()
  dotted: Dotted = {group: {} for group in groups}

  def parse(argv: list[str]) -> list[str]:
    if any(word in ("--help", "-help", "-h", "--helpshort") for word in argv[1:]):
      try:
        parts = (doc.strip(), f"Flags:\n{_flag_help()}", more_help(argv))
        print("\n\n".join(filter(None, parts)), flush=True)
      except BrokenPipeError:
        pass  # such as: ... --help | head
      except OSError as error:
        os._exit(_report_os_error(error))
      os._exit(0)
    return _parse(argv, dotted, repeated)

  def start(argv: list[str]) -> None:
    # Orbax logs a page of information at each save; --verbosity=0 shows it.
    if not flags.FLAGS["verbosity"].present:
      absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("jax._src.callback").addFilter(keep_log_record)
    sys.unraisablehook = ignore_os_errors(sys.unraisablehook)
    threading.excepthook = ignore_os_errors(threading.excepthook)
    if signal.getsignal(signal.SIGINT) is stop:  # from here on, cleanup must run
      signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
      status = report_errors(lambda: _check_and_call(main, dotted))
      if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)  # libraries' exit handlers catch no exception
      sys.exit(status)
    except KeyboardInterrupt:
      with contextlib.suppress(OSError):
        sys.stdout.flush()
      stop()

  for name in ("stdout", "stderr"):
    if getattr(sys, name) is None:  # closed by the shell, such as: ... >&-
      setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    getattr(sys, name).reconfigure(errors="backslashreplace")  # for ASCII-only terminals
  app.run(start, flags_parser=parse)


def console(width: int | None = None) -> rich.console.Console:
  """Returns a console that prints text literally: ``[red]`` is not markup.

  Args:
    width: columns where the output is not a terminal.
  """
  found = rich.console.Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
  if width is not None and not found.is_terminal:
    found.width = width
  return found


def _check_and_call(main: Callable[[flags.FlagValues, Dotted], int], dotted: Dotted) -> int:
  """Checks jax's platform, then calls ``main``."""
  try:
    check_platform()
  except ValueError as error:
    raise UsageError(str(error)) from error
  return main(flags.FLAGS, dotted)


def ignore_os_errors(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
  """Wraps ``sys.unraisablehook`` or ``threading.excepthook``: drops ``OSError``.

  On a full disk, libraries that write in the background would add their tracebacks to the
  program's own message. A Ctrl-C that Python could only report ends the program.
  """

  def hook_unless(unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
      stop()
    if not isinstance(unraisable.exc_value, OSError):
      hook(unraisable)

  return hook_unless


def keep_log_record(record: logging.LogRecord) -> bool:
  """Drops log records of errors that ``report_errors`` reports.

  On accelerators jax logs the traceback of every callback that raises.
  """
  error = record.exc_info and record.exc_info[1]
  return not error or not (failure(error) or blame(error))


def report_errors(main: Callable[[], int]) -> int:
  """Calls ``main`` and returns its status; prints errors of the user and of the system.

  Other exceptions, which are bugs, pass through.
  """
  status = _call(main)
  try:
    sys.stdout.flush()
  except OSError as error:
    # Discards the rest of the buffer, which Python would otherwise report again on exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = status or _report_os_error(error)
  return status


def _call(main: Callable[[], int]) -> int:
  try:
    return main()
  except (UsageError, RunFolderError) as error:
    return _report(error, USAGE)
  except (CheckpointError, Diverged, EnvironmentStopped) as error:
    return _report(error, 1)
  except BaseException as error:
    reason = failure(error) or blame(error) or _out_of_memory(error) or _unbatchable(error)
    if reason is not None:
      return _report(reason, 1)
    if isinstance(error, OSError):
      return _report_os_error(error)
    raise


def _report_os_error(error: OSError) -> int:
  """Reports an error of the system, such as a full disk; returns the exit status."""
  if isinstance(error, BrokenPipeError):
    return PIPE_CLOSED  # the reader has closed the pipe, such as: ... | head
  where = f"{error.filename}: " if error.filename else ""
  return _report(f"{where}{error.strerror or error}.", 1)


def _out_of_memory(error: BaseException) -> str | None:
  if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
    return None
  reason = str(error).partition("\n")[0].rstrip(".") or "Python could not allocate more"
  return f"Out of memory: {reason}. Reduce the sizes."


def _unbatchable(error: BaseException) -> str | None:
  """Returns jax's message, without the location, where a user's callback cannot be vmapped."""
  if not isinstance(error, NotImplementedError) or "vmap" not in str(error):
    return None
  return f"A function of the task cannot be batched: {shorten(str(error))}"


def _report(reason: object, status: int) -> int:
  print(f"error: {reason}", file=sys.stderr)
  return status


def split(argv: list[str], dotted: Dotted) -> list[str]:
  """Moves ``--GROUP.a.b=value`` from ``argv`` to ``dotted[GROUP]``; returns the rest."""
  pattern = re.compile(rf"--?({'|'.join(dotted)})\.([\w.]+)(?:=(.*))?", re.DOTALL)
  rest, words = [], iter(argv)
  for word in words:
    match = pattern.fullmatch(word)
    if match is None:
      rest.append(word)
      continue
    group, name, value = match.groups()
    given = value is not None
    value = value if given else next(words, None)
    if value is None or (not given and value.startswith("--")):
      _exit_usage(f"{word} needs a value, such as {word}=1.")
    dotted[group][name] = value
  return rest


def refuse(dotted: Dotted) -> None:
  """Refuses dotted flags in a program that reads the config from the run.

  Raises:
    UsageError: ``dotted`` holds a flag; the message names the first.
  """
  for group, values in dotted.items():
    for name in values:
      raise UsageError(f"--{group}.{name}: the settings of a run cannot be changed here.")


def _parse(argv: list[str], dotted: Dotted, repeated: str | None) -> list[str]:
  """Parses the command line into ``flags.FLAGS`` and ``dotted``; returns the program's name."""
  try:
    flag_checks.check_words(argv)
    rest = split(_repeat(argv, repeated), dotted)
    extra = flags.FLAGS(rest)[1:]
    if extra:
      _exit_usage(f"Unexpected argument {extra[0]!r}; flags have the form --name=value.")
    flag_checks.check_values(flags.FLAGS)
    flag_checks.check_dotted(dotted)
  except (flags.Error, ValueError, OSError) as error:
    _exit_usage(flag_checks.reword(str(error), flags.FLAGS, dotted))
  return rest[:1]


def _repeat(argv: list[str], name: str | None) -> list[str]:
  """Rewrites ``--name a b`` as ``--name=a --name=b``."""
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
  """Describes the program's flags, without absl's first line, the path of the module."""
  return flags.FLAGS.main_module_help().strip().partition("\n")[2]


def _exit_usage(message: str) -> None:
  sys.exit(_report(message, USAGE))
