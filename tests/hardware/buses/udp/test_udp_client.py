import math
import socket
import time

import pytest
from moteus_cases import soon

from hardware.buses.udp.client import UdpLink
from hardware.buses.udp.datagrams import Stamp, State, pack_state, unpack_command
from mbrl_jax.ops.validate import ArgumentError


class Peer:
  """The other end of a link, by hand."""

  def __init__(self, form):
    self.stamped, self.number = form == "stamped", 0
    self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    self.socket.bind(("127.0.0.1", 0))
    self.socket.settimeout(2.0)
    self.link = UdpLink(*self.socket.getsockname(), form)

  def hear(self):
    data, self.address = self.socket.recvfrom(256)
    return unpack_command(data, self.stamped)

  def say(self, position, answers=None, session=1):
    self.number += 1
    stamp = Stamp(session, self.number, 0) if self.stamped else None
    state = State((position, 0.0), (0.0, 0.0), (True, True), stamp, answers)
    self.socket.sendto(pack_state(state), self.address)

  def close(self):
    self.socket.close()
    self.link.close()


@pytest.fixture(params=["stamped", "legacy"])
def peer(request):
  peer = Peer(request.param)
  yield peer
  peer.close()


@pytest.fixture
def stamped():
  peer = Peer("stamped")
  yield peer
  peer.close()


def test_a_command_and_its_answer(peer):
  assert peer.link.state is None and peer.link.age() == math.inf
  peer.link.send([0.1, -0.2], reset=True)
  command = peer.hear()
  assert command.action == (0.1, -0.2) and command.reset
  peer.say(0.5, command.stamp)
  assert peer.link.receive(soon()) and peer.link.state.positions == (0.5, 0.0)
  assert 0 <= peer.link.age() < 2


def test_no_answer_is_waited_for_until_the_deadline_only(peer):
  peer.link.send([0.0, 0.0])
  start = time.monotonic()
  assert not peer.link.receive(soon(0.05))
  assert 0.04 < time.monotonic() - start < 2.0 and peer.link.state is None
  assert not peer.link.receive(time.monotonic() - 1)


def test_the_newest_of_several_states_is_kept(peer):
  peer.link.send([0.0, 0.0])
  stamp = peer.hear().stamp
  for position in (0.1, 0.2, 0.3):
    peer.say(position, stamp)
  assert peer.link.receive(soon()) and peer.link.state.positions[0] == 0.3


def test_garbage_is_counted_and_not_taken(peer):
  peer.link.send([0.0, 0.0])
  stamp = peer.hear().stamp
  for data in (b"", b"x", bytes(300)):
    peer.socket.sendto(data, peer.address)
  peer.say(0.5, stamp)
  assert peer.link.receive(soon()) and peer.link.counters["malformed"] == 3


def test_an_answer_to_an_earlier_command_is_late_but_the_newest_state(stamped):
  link = stamped.link
  link.send([0.0, 0.0])
  first = stamped.hear().stamp
  time.sleep(0.02)
  link.send([0.0, 0.0])
  second = stamped.hear().stamp
  stamped.say(0.1, first)
  assert not link.receive(soon(0.05))
  assert link.state.positions[0] == 0.1 and link.counters["late"] == 1
  assert link.age() > 0.02
  stamped.say(0.2, second)
  assert link.receive(soon()) and link.state.positions[0] == 0.2


def test_a_late_legacy_answer_does_not_make_the_client_lag():
  peer = Peer("legacy")
  peer.link.send([0.0, 0.0])
  peer.hear()
  peer.say(0.1)
  time.sleep(0.02)
  peer.link.send([0.0, 0.0])  # throws the old answer away
  peer.hear()
  peer.say(0.2)
  assert peer.link.receive(soon()) and peer.link.state.positions[0] == 0.2
  assert peer.link.counters["late"] == 1
  peer.close()


def test_reordered_states_never_replace_newer_ones(stamped):
  stamped.link.send([0.0, 0.0])
  stamp = stamped.hear().stamp
  stamped.number = 5
  stamped.say(0.6, stamp)
  stamped.number = 3
  stamped.say(0.4, stamp)
  assert stamped.link.receive(soon())
  stamped.link.receive(soon(0.02))
  assert stamped.link.state.positions[0] == 0.6 and stamped.link.counters["reordered"] == 1


def test_answers_to_another_client_are_not_taken(stamped):
  stamped.link.send([0.0, 0.0])
  stamp = stamped.hear().stamp
  stamped.say(0.5, stamp._replace(session=stamp.session ^ 1))
  assert not stamped.link.receive(soon(0.05)) and stamped.link.state is None


def test_a_host_that_does_not_run():
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
    unused.bind(("127.0.0.1", 0))
    port = unused.getsockname()[1]
  with UdpLink("127.0.0.1", port) as link:
    for _ in range(3):
      link.send([0.0, 0.0])
      assert not link.receive(soon(0.01))
    assert link.counters["sent"] == 3


@pytest.mark.parametrize("action", [[math.nan, 0.0], [0.0, math.inf], [0.0], [0.0] * 3])
def test_an_action_that_is_none_is_refused(peer, action):
  with pytest.raises(ArgumentError, match="must be 2 finite numbers"):
    peer.link.send(action)


def test_unknown_formats_are_refused():
  with pytest.raises(ArgumentError, match=r"form='raw' is not known.*'stamped', 'legacy'"):
    UdpLink("127.0.0.1", 1, "raw")
