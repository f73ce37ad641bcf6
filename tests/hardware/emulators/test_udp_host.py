import threading
import time

import pytest
from moteus_cases import eventually, soon

from hardware.buses.udp.client import FORMATS, UdpLink
from hardware.emulators import udp_host
from hardware.emulators.udp_host import FAULTS, UdpHost
from mbrl_jax.ops.validate import ArgumentError


@pytest.fixture(params=FORMATS)
def pair(request):
  with UdpHost(request.param) as host, UdpLink("127.0.0.1", host.port, request.param) as link:
    link.form = request.param
    yield host, link


def ask(link, seconds=1.0, action=(0.0, 0.0), reset=False):
  link.send(action, reset)
  return link.receive(soon(seconds))


def test_a_torque_moves_a_joint(pair):
  _, link = pair

  def moved():
    return ask(link, action=(0.2, 0.0)) and link.state.positions[0] > 0.01

  assert eventually(moved)
  assert link.state.velocities[0] > 0 and link.state.positions[1] == 0
  assert link.state.valid == (True, True)


def test_a_reset_moves_to_the_start_pose():
  with UdpHost(start_pose=(0.1, -0.2)) as host, UdpLink("127.0.0.1", host.port) as link:

    def there():
      assert ask(link, reset=True)
      first, second = link.state.positions
      return abs(first - 0.1) < 0.02 and abs(second + 0.2) < 0.02

    assert eventually(there, 6.0)


def test_without_commands_the_torque_is_taken_off(pair):
  host, link = pair
  ask(link, action=(0.2, 0.0))
  assert eventually(lambda: host._torques(time.monotonic()) == [0.0, 0.0])


@pytest.mark.parametrize("name", ["drop", "silent", "delay", "truncated"])
def test_a_state_that_does_not_come_costs_one_cycle(pair, name, monkeypatch):
  monkeypatch.setattr(udp_host, "DELAY", 0.4)
  host, link = pair
  assert ask(link)
  host.faults.start(name, count=None if name == "silent" else 1)
  assert not ask(link, 0.1)
  host.faults.stop()
  time.sleep(0.5 if name == "delay" else 0.1)
  assert ask(link)
  if link.form == "stamped":
    lost = {"drop": 1, "silent": 0, "delay": 0, "truncated": 1}[name]
    assert link.counters["lost"] == lost
    assert link.counters["malformed"] == (name == "truncated")


@pytest.mark.parametrize(
  ("name", "counter"),
  [("duplicate", "duplicated"), ("reorder", "reordered"), ("stale", "duplicated")],
)
def test_old_states_are_seen_and_counted(name, counter):
  with UdpHost() as host, UdpLink("127.0.0.1", host.port) as link:
    assert ask(link)
    host.faults.start(name, count=1)
    ask(link, 0.05)
    newest = link.state.stamp.sequence
    assert ask(link)
    link.receive(soon(0.05))
    assert link.counters[counter] == 1 and link.state.stamp.sequence > newest


def test_a_legacy_link_cannot_see_a_stale_state():
  with UdpHost("legacy") as host, UdpLink("127.0.0.1", host.port, "legacy") as link:
    assert ask(link)
    host.faults.start("stale", count=1)
    assert ask(link)
    assert not +link.counters - +type(link.counters)(sent=2)


def test_a_host_executes_no_old_command():
  with UdpHost() as host, UdpLink("127.0.0.1", host.port) as link:
    assert ask(link, action=(0.2, 0.0))
    link._sequence -= 1  # the next datagram repeats the number of the last
    link.send((0.7, 0.0))
    link.receive(soon(0.1))
    assert host._command.action == (0.2, 0.0) and host.stream.counters["duplicated"] == 1


def test_a_host_that_starts_again_is_followed():
  with UdpHost() as host, UdpLink("127.0.0.1", host.port) as link:
    assert ask(link)
    host.stop()
    with UdpHost(port=host.port):
      assert eventually(lambda: ask(link, 0.1))
      assert link.counters["restarts"] == 1


def test_every_fault_is_tested():
  tested = {"drop", "silent", "delay", "truncated", "duplicate", "reorder", "stale"}
  assert tested == set(FAULTS)
  with UdpHost() as host, pytest.raises(ArgumentError, match="fault='bit_flip' is not known"):
    host.faults.start("bit_flip")


def test_garbage_is_refused(pair):
  host, link = pair
  link._socket.send(b"garbage")
  assert eventually(lambda: host.malformed == 1)
  assert ask(link)


def test_nothing_is_left_after_a_stop():
  before = threading.active_count()
  host = UdpHost()
  with host:
    assert threading.active_count() == before + 1
  host.stop()
  assert threading.active_count() == before
  UdpHost(port=host.port).stop()  # the port is free again
