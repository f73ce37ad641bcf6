"""moteus controllers behind mjbots' pi3hat, a CAN-FD board of the Raspberry Pi.

Never tried: neither a board nor its package, which exists for the Pi alone, was at hand. Tests
replace the package. The board waits for replies by itself, for a fraction of a millisecond.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hardware.buses.moteus.commands import Reply
from hardware.buses.moteus.frames import Frame, pad
from hardware.buses.moteus.transports.transport import Exchange, TransportError, remaining


class Pi3hat:
  """A transport over a pi3hat; see ``Transport``."""

  def __init__(self, controllers: Mapping[int, Sequence[int]]) -> None:
    """Starts the board's driver, which occupies one CPU core.

    Args:
      controllers: ids of the controllers on each of the buses 1 to 5.

    Raises:
      ImportError: moteus_pi3hat is not installed.
    """
    self.counters: Counter[str] = Counter()
    try:
      router = importlib.import_module("moteus_pi3hat")
      self._moteus = importlib.import_module("moteus")
    except ImportError as error:
      raise ImportError(
        f"A pi3hat needs its driver ({error}): on the Raspberry Pi that it is mounted on, run "
        "pip install moteus moteus-pi3hat"
      ) from error
    buses = {bus: list(ids) for bus, ids in controllers.items()}
    self._loop = asyncio.new_event_loop()
    self._router = self._loop.run_until_complete(_make(router.Pi3HatRouter, buses))

  def cycle(self, frames: Sequence[Frame], deadline: float) -> dict[int, Reply]:
    """See ``Transport.cycle``."""
    exchange = Exchange(frames, self.counters)
    commands = [self._command(frame) for frame in frames]
    try:
      work = asyncio.wait_for(self._router.cycle(commands), remaining(deadline))
      for message in self._loop.run_until_complete(work):
        exchange.offer(Frame(message.arbitration_id, bytes(message.data)))
    except TimeoutError:
      pass  # every reply is missing, which finish counts
    except (OSError, RuntimeError) as error:
      raise TransportError(f"the pi3hat failed: {error}. Check board and power.") from error
    return exchange.finish()

  def close(self) -> None:
    """See ``Transport.close``."""
    close = getattr(self._router, "close", None)
    if close:
      close()
    self._loop.close()

  def _command(self, frame: Frame) -> Any:
    command = self._moteus.Command()
    command.destination, command.source = frame.destination, frame.source
    command.reply_required = frame.wants_reply
    command.data = pad(frame.data)
    return command


async def _make(router: Any, buses: dict[int, list[int]]) -> Any:
  """Makes the driver while a loop runs, which newer versions of it look up."""
  return router(servo_bus_map=buses)
