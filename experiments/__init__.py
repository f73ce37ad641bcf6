"""Programs: absl binaries and their configs. Nothing imports them."""

import os
import signal
import sys


def stop(number: int = signal.SIGINT, frame: object = None) -> None:
  """Ends the process with a sentence, at once.

  Not by an exception: where Python puts away a compilation that was interrupted, jaxlib 0.10
  crashes.
  """
  os.write(2, b"stopped by Ctrl-C\n")
  os._exit(128 + number)


# A program takes seconds to import, in which Ctrl-C would print where it was. ``command.run``
# listens itself; "-m" stands there only while python looks for the program.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
  signal.signal(signal.SIGINT, stop)
