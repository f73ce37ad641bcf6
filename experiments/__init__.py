"""Programs (absl binaries) and their configs; no other package imports them."""

import os
import signal
import sys


def stop(number: int = signal.SIGINT, frame: object = None) -> None:
  """Reports Ctrl-C and ends the process at once.

  Raises no exception: jaxlib 0.10 crashes when Python cleans up an interrupted compilation.
  """
  os.write(2, b"stopped by Ctrl-C\n")
  os._exit(128 + number)


# Imports take seconds; without a handler Ctrl-C would print a traceback. ``cli.run`` installs
# its own handler; sys.argv[0] is "-m" only while Python locates the module.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
  signal.signal(signal.SIGINT, stop)
