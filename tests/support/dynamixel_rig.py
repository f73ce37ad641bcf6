"""An emulated Dynamixel line and a client on it, for tests."""

import contextlib
import time
from types import SimpleNamespace

import pytest

IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32]
PATIENCE = 0.06  # seconds: the machine of the tests is busy


@contextlib.contextmanager
def rig(ids=IDS, baud=1_000_000, servos=None, patience=PATIENCE, **line_options):
  """Yields ``bus``, ``line``, ``network``, ``faults``, ``port``."""
  pytest.importorskip("serial")
  from hardware.buses.dynamixel.bus import Bus
  from hardware.buses.dynamixel.port import Port
  from hardware.emulators.dynamixel.faults import Faults
  from hardware.emulators.dynamixel.line import Line
  from hardware.emulators.dynamixel.network import Network
  from hardware.emulators.dynamixel.servo import Servo

  servos = [Servo(id, boot_seconds=0.05) for id in ids] if servos is None else servos
  network = Network(servos, faults=Faults(seed=3))
  with Line(network, **line_options) as line, Port(line.path, baud) as port:
    bus = Bus(port, patience)
    yield SimpleNamespace(bus=bus, line=line, network=network, faults=network.faults, port=port)


def wait_for(condition, seconds=5.0):
  """Waits until ``condition()`` is true; fails after ``seconds``."""
  end = time.monotonic() + seconds
  while not (value := condition()):
    assert time.monotonic() < end, "waited in vain"
    time.sleep(0.005)
  return value
