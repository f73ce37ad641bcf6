import asyncio
import sys
import types

import pytest
from moteus_cases import moteus_package, soon

from hardware.buses.moteus import commands
from hardware.buses.moteus.frames import Frame
from hardware.buses.moteus.transports.pi3hat import Pi3hat
from hardware.buses.moteus.transports.transport import TransportError
from hardware.emulators.moteus.controller import Controller


def test_without_the_package_it_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "moteus_pi3hat", None)
  with pytest.raises(ImportError, match="pip install moteus moteus-pi3hat"):
    Pi3hat({1: [11]})


class Router:
  """The package's driver, as far as the transport uses it, with one controller."""

  def __init__(self, servo_bus_map):
    self.servo_bus_map, self.wait, self.controller = servo_bus_map, 0.0, Controller(11)
    asyncio.get_running_loop()

  async def cycle(self, sent):
    await asyncio.sleep(self.wait)
    if self.wait < 0:
      raise RuntimeError("SPI")
    replies = []
    for command in sent:
      identifier = command.destination | (0x8000 if command.reply_required else 0)
      reply = self.controller.handle(Frame(identifier, command.data))
      if reply is not None:
        replies.append(types.SimpleNamespace(**reply._asdict()))
    return replies


@pytest.fixture
def board(monkeypatch):
  moteus_package()
  package = types.ModuleType("moteus_pi3hat")
  package.Pi3HatRouter = Router
  monkeypatch.setitem(sys.modules, "moteus_pi3hat", package)
  board = Pi3hat({1: [11], 2: (12,)})
  yield board
  board.close()


def test_a_cycle(board):
  assert board._router.servo_bus_map == {1: [11], 2: [12]}
  replies = board.cycle([commands.query_frame(11), commands.query_frame(12)], soon())
  assert sorted(replies) == [11] and board.counters["missing"] == 1


def test_a_board_that_does_not_return_is_not_waited_for(board):
  board._router.wait = 60.0
  assert board.cycle([commands.query_frame(11)], soon(0.05)) == {}
  assert board.counters["missing"] == 1


def test_a_failing_board_is_named(board):
  board._router.wait = -1.0
  with pytest.raises(TransportError, match="pi3hat failed: SPI"):
    board.cycle([commands.query_frame(11)], soon())
