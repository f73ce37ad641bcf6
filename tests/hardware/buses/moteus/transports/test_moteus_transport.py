from collections import Counter

import pytest

from hardware.buses.moteus import commands
from hardware.buses.moteus.frames import Frame, Kind, make_id, register_error, write_registers
from hardware.buses.moteus.registers import Resolution
from hardware.buses.moteus.transports.transport import Exchange
from mbrl_jax.ops.validate import ArgumentError

QUERY = {0: Resolution.INT8, 1: Resolution.FLOAT}


def reply(controller, values=None, host=0):
  values = {0: 10, 1: 0.5} if values is None else values
  data = write_registers(values, QUERY, Kind.REPLY)
  return Frame(make_id(controller, host), data)


def exchange(*controllers):
  counters = Counter()
  frames = [commands.query_frame(controller, QUERY) for controller in controllers]
  return Exchange(frames, counters), counters


def test_replies_are_matched_by_controller():
  cycle, counters = exchange(11, 12)
  cycle.offer(reply(12))
  assert not cycle.done
  cycle.offer(reply(11))
  assert cycle.done and sorted(cycle.finish()) == [11, 12]
  assert +counters == Counter()


def test_a_missing_reply_costs_its_own_slot():
  cycle, counters = exchange(11, 12, 13)
  cycle.offer(reply(11))
  cycle.offer(reply(13))
  assert sorted(cycle.finish()) == [11, 13] and counters["missing"] == 1


def test_frames_that_answer_nothing_are_counted():
  cycle, counters = exchange(11)
  cycle.offer(reply(14))
  cycle.offer(reply(11, host=3))
  cycle.offer(commands.query_frame(11))  # another host's request, or our own echo
  cycle.offer(reply(11))
  cycle.offer(reply(11))
  assert cycle.done and counters["unexpected"] == 4


def test_incomplete_replies_are_malformed():
  cycle, counters = exchange(11)
  cycle.offer(Frame(make_id(11, 0), reply(11).data[:-1]))
  cycle.offer(reply(11, {0: 10}))
  cycle.offer(Frame(make_id(11, 0), b""))
  assert not cycle.done and counters["malformed"] == 3


def test_a_register_that_cannot_be_read_is_answered_by_its_error():
  cycle, _ = exchange(11)
  data = reply(11, {0: 10}).data + register_error(Kind.READ_ERROR, 1, 1)
  cycle.offer(Frame(make_id(11, 0), data))
  assert cycle.replies[11].errors == ((Kind.READ_ERROR, 1, 1),)


def test_commands_without_a_query_are_not_waited_for():
  cycle = Exchange([commands.stop_frame(11)], Counter())
  assert cycle.done and cycle.finish() == {}


@pytest.mark.parametrize("controllers", [(11, 11), (127,)])
def test_one_reply_per_controller_and_cycle(controllers):
  with pytest.raises(ArgumentError, match="ask each controller once per cycle"):
    exchange(*controllers)


def test_a_frame_that_could_not_be_sent_is_not_waited_for():
  cycle, counters = exchange(11, 12)
  cycle.skip(commands.query_frame(11, QUERY))
  cycle.offer(reply(12))
  assert cycle.done and counters["unsent"] == 1
