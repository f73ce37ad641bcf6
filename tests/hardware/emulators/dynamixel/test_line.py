"""The emulator on a pseudo-terminal: time, baud rates, collisions, cleaning up."""

import os
import threading
import time

import pytest
from dynamixel_rig import rig, wait_for

from hardware.buses.dynamixel import frames, registers
from hardware.emulators.dynamixel.line import Line
from hardware.emulators.dynamixel.network import Network
from hardware.emulators.dynamixel.servo import Servo
from mbrl_jax.ops.validate import ArgumentError


def lines():
  return [t for t in threading.enumerate() if t.name == "Line"]


def test_it_leaves_nothing_behind():
  files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
  line = Line(Network([Servo()]))
  with line:
    assert os.path.exists(line.path) and lines()
  line.stop()
  assert not lines()
  if files:
    assert len(os.listdir("/proc/self/fd")) == files


def test_line_that_was_never_started_can_be_stopped():
  Line(Network([Servo()])).stop()


def test_bytes_take_their_time():
  with rig([1], baud=9_600, servos=[Servo(1, 9_600)]) as r:
    start = time.monotonic()
    assert r.bus.ping(1).ok
    assert time.monotonic() - start >= (10 + 14) * 10 / 9_600
  with rig([1], baud=9_600, servos=[Servo(1, 9_600)], serial_time=False) as r:
    assert r.bus.ping(1).ok


@pytest.mark.parametrize("baud", registers.BAUD_RATES.values())
def test_host_sets_the_baud_rate(baud):
  pair = [Servo(1, baud), Servo(2, 57_600 if baud != 57_600 else 9_600)]
  with rig(servos=pair, baud=baud, patience=0.03) as r:
    assert r.line.baud == baud
    assert r.bus.ping(1).ok and r.bus.ping(2).failure == "silent"


def test_changed_baud_rate_counts_after_the_answer():
  with rig([1]) as r:
    assert r.bus.write(1, registers.item("baud_rate"), 1).ok
    assert not r.bus.ping(1).ok


def test_adapter_collects_bytes():
  with rig([1], latency=0.03) as r:
    start = time.monotonic()
    assert r.bus.ping(1).ok
    assert time.monotonic() - start >= 0.03


def test_host_that_speaks_while_servos_do_loses_both():
  slow = [Servo(1, 9_600), Servo(2, 9_600)]
  with rig(servos=slow, baud=9_600) as r:
    r.port.send(frames.encode(1, frames.READ, frames.read_params(0, 147)))  # 164 ms
    wait_for(lambda: r.line._pending)
    time.sleep(0.03)
    assert r.bus.ping(2).failure == "silent" and r.line.collisions == 1
    assert r.bus.ping(2).ok


def test_client_may_come_and_go():
  with rig([1]) as r:
    assert r.bus.ping(1).ok
    r.port.close()
    with type(r.port)(r.line.path) as port:
      assert type(r.bus)(port, 0.06).ping(1).ok


def test_client_that_never_reads_does_not_block_the_line():
  with rig([1]) as r:
    for _ in range(60):
      r.port.send(frames.encode(1, frames.READ, frames.read_params(0, 147)))
      time.sleep(0.002)
    assert lines()
    while r.port.receive(time.monotonic() + 0.1):
      pass
    assert r.bus.ping(1).ok


def test_bad_latency_is_refused():
  with pytest.raises(ArgumentError, match="latency"):
    Line(Network([Servo()]), latency=-1.0)
