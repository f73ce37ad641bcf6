"""Who answers on the bus, in which order; nonsense never raises."""

import random

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.parser import Parser
from hardware.emulators.dynamixel.network import Network
from hardware.emulators.dynamixel.servo import Servo

BAUD = 1_000_000


def network(**options):
  made = Network([Servo(id, **options) for id in (3, 1, 2)])
  made.advance(0.0)
  return made


def sync_read(ids, instruction=frames.SYNC_READ):
  return frames.Packet(0xFE, instruction, frames.sync_read_params(132, 4, ids))


def ids_of(replies):
  return [reply.id for reply in replies]


def test_broadcast_ping_is_answered_in_order_of_ids():
  replies = network().handle(frames.Packet(0xFE, frames.PING), BAUD)
  assert ids_of(replies) == [1, 2, 3]


def test_group_reads_are_answered_in_order_of_the_request():
  net = network()
  assert ids_of(net.handle(sync_read([2, 3, 1]), BAUD)) == [2, 3, 1]
  spans = frames.bulk_read_params({3: (132, 4), 1: (146, 1)})
  replies = net.handle(frames.Packet(0xFE, frames.BULK_READ, spans), BAUD)
  assert [len(reply.data) for reply in replies] == [15, 12]


def test_servos_behind_a_missing_one_wait_in_vain():
  net = network()
  assert ids_of(net.handle(sync_read([2, 9, 1]), BAUD)) == [2]
  net.faults.on("silent", [3])
  assert ids_of(net.handle(sync_read([2, 3, 1]), BAUD)) == [2]
  assert net.faults.counts == {"silent": 1}
  assert ids_of(net.handle(sync_read([2, 1]), BAUD)) == [2, 1]


def test_fast_answers_are_one_packet_in_parts():
  net = network()
  replies = net.handle(sync_read([2, 3, 1], frames.FAST_SYNC_READ), BAUD)
  raw = b"".join(reply.data for reply in replies)
  position = (2048).to_bytes(4, "little")
  assert frames.split_fast_status(raw, 4) == [(i, 0, position) for i in (2, 3, 1)]
  assert len(raw) == 7 + int.from_bytes(raw[5:7], "little")
  net.faults.on("silent", [3])
  replies = net.handle(sync_read([2, 3, 1], frames.FAST_SYNC_READ), BAUD)
  assert b"".join(reply.data for reply in replies) == raw[:16]


def test_other_baud_rates_are_not_heard():
  assert network().handle(frames.Packet(1, frames.PING), 57_600) == []


def test_return_delay_is_kept():
  (reply,) = network(settings={"return_delay_time": 250}).handle(
    frames.Packet(1, frames.PING), BAUD
  )
  assert reply.delay == 500e-6


def test_group_writes_reach_each_servo():
  net = network()
  values = {3: (30).to_bytes(4, "little"), 2: (20).to_bytes(4, "little")}
  params = frames.sync_write_params(116, 4, values)
  assert net.handle(frames.Packet(0xFE, frames.SYNC_WRITE, params), BAUD) == []
  params = frames.bulk_write_params({1: (116, values[2]), 3: (65, b"\1")})
  assert net.handle(frames.Packet(0xFE, frames.BULK_WRITE, params), BAUD) == []
  goals = {servo.id: servo.table["goal_position"] for servo in net.servos}
  assert goals == {3: 30, 1: 20, 2: 20} and net.servos[0].table["led"] == 1


def test_any_instruction_feeds_the_watchdog():
  net = network()
  servo = net.servos[1]
  servo.table.set("torque_enable", 1)
  servo.table.set("bus_watchdog", 5)
  for i in range(1, 20):
    net.handle(frames.Packet(2, frames.PING), BAUD)
    net.advance(i * 0.09)
  assert servo.table["bus_watchdog"] == 5
  net.advance(1.9)
  assert servo.table["bus_watchdog"] == -1


def test_servo_that_is_cut_off_stops_by_its_watchdog():
  net = network()
  for servo in net.servos:
    servo.table.set("torque_enable", 1)
    servo.table.set("bus_watchdog", 5)
  net.faults.on("silent", [1])
  for i in range(1, 20):
    net.handle(sync_read([2, 3]), BAUD)
    net.advance(i * 0.02)
  assert {s.id: s.table["bus_watchdog"] for s in net.servos} == {3: 5, 1: -1, 2: 5}


def test_answers_on_the_bus_are_no_instructions():
  assert network().handle(frames.Packet(1, frames.STATUS, b"\0"), BAUD) == []


def test_conditions_come_and_go():
  net = network()
  net.faults.on("over_temperature", [1])
  net.faults.on("voltage_dip", [2])
  net.advance(0.01)
  net.advance(0.02)
  status = {servo.id: servo.table["hardware_error_status"] for servo in net.servos}
  assert status == {1: 4, 2: 1, 3: 0}
  assert net.faults.counts == {"over_temperature": 1, "voltage_dip": 1}
  net.faults.off()
  net.advance(0.03)
  assert net.servos[1].body.temperature == 30
  assert net.servos[1].table["hardware_error_status"] == 4  # until a reboot


def test_reboot_fault_restarts_in_mid_run():
  net = network()
  net.servos[0].table.set("torque_enable", 1)
  net.faults.on("reboot", [3])
  assert net.handle(frames.Packet(3, frames.PING), BAUD) == []
  assert net.servos[0].table["torque_enable"] == 0
  net.advance(0.3)
  assert ids_of(net.handle(frames.Packet(3, frames.PING), BAUD)) == [3]


def test_nonsense_never_raises():
  net, draws = network(), random.Random(0)
  codes = [*range(16), 0x55, 0x82, 0x83, 0x8A, 0x92, 0x93, 0x9A]
  for i in range(3000):
    id, params = draws.choice([1, 2, 3, 0xFE]), draws.randbytes(draws.randrange(20))
    net.handle(frames.Packet(id, draws.choice(codes), params), BAUD)
    if i % 100 == 0:
      net.advance(i * 1e-3)


def mutated(draws, data):
  """Flips, removes and inserts bytes, or cuts the end."""
  data = bytearray(data)
  for _ in range(draws.randrange(3)):
    at, kind = draws.randrange(len(data) or 1), draws.randrange(4)
    if kind == 0 and data:
      data[at] ^= 1 << draws.randrange(8)
    elif kind == 1:
      del data[at : at + 1]
    elif kind == 2:
      data.insert(at, draws.choice(b"\0\xff\xfd\x55"))
    else:
      del data[at:]
  return bytes(data)


def test_mutated_frames_either_way_never_raise_and_never_lie():
  """What passes the CRC is what was sent."""
  draws, host, device, now = random.Random(4), Parser(), Parser(), 0.0
  net, heard, answers = network(), 0, 0
  for _ in range(6000):
    request = frames.Packet(draws.choice([1, 2, 3]), frames.READ, frames.read_params(132, 4))
    if draws.random() < 0.5:
      request = sync_read([2, 3, 1], draws.choice([frames.SYNC_READ, frames.FAST_SYNC_READ]))
    sent = frames.encode(request.id, request.instruction, request.params)
    for packet in device.feed(mutated(draws, sent)) + device.flush():
      assert packet == request
      now, heard = now + 1e-3, heard + 1
      net.advance(now)
      for reply in net.handle(packet, BAUD):
        for found in host.feed(mutated(draws, reply.data)) + host.flush():
          answers += 1
          if found.id != 0xFE:
            assert found == frames.Packet(reply.id, 0x55, b"\0\0\x08\0\0")
  assert heard > 1000 and answers > 500
