"""The maker's own client, which knows nothing of our code, talks to the emulator."""

import pytest
from dynamixel_rig import IDS, wait_for

from hardware.buses.dynamixel import registers
from hardware.emulators.dynamixel.line import Line
from hardware.emulators.dynamixel.network import Network
from hardware.emulators.dynamixel.servo import Servo

sdk = pytest.importorskip("dynamixel_sdk")
POSITION = 132, 4


@pytest.fixture
def host(monkeypatch):
  """A port and a packet handler of the SDK, and the emulated servos."""
  # The SDK gives up after 34 ms, which a busy machine can take.
  monkeypatch.setattr("dynamixel_sdk.port_handler.LATENCY_TIMER", 100)
  network = Network([Servo(id, boot_seconds=0.05) for id in IDS])
  with Line(network) as line:
    port = sdk.PortHandler(line.path)
    assert port.setBaudRate(1_000_000)
    yield port, sdk.PacketHandler(2.0), network
    port.closePort()


def test_ping(host):
  port, handler, _ = host
  assert handler.ping(port, 21) == (1030, sdk.COMM_SUCCESS, 0)


def test_read_and_write(host):
  port, handler, network = host
  assert handler.write4ByteTxRx(port, 10, 116, 1500) == (sdk.COMM_SUCCESS, 0)
  assert handler.read4ByteTxRx(port, 10, 116) == (1500, sdk.COMM_SUCCESS, 0)
  assert handler.write4ByteTxRx(port, 10, 116, 5000) == (sdk.COMM_SUCCESS, 6)
  assert handler.write1ByteTxRx(port, 10, 64, 1) == (sdk.COMM_SUCCESS, 0)
  assert handler.write1ByteTxRx(port, 10, 11, 1) == (sdk.COMM_SUCCESS, 7)
  assert handler.regWriteTxRx(port, 11, 65, 1, [1]) == (sdk.COMM_SUCCESS, 0)
  assert network.servos[1].table["registered_instruction"] == 1
  handler.action(port, 0xFE)
  wait_for(lambda: network.servos[1].table["led"] == 1)


def test_stuffed_bytes_both_ways(host):
  port, handler, _ = host
  data = [0xFF, 0xFF, 0xFD, 0x01]
  assert handler.writeTxRx(port, 10, 224, 4, data) == (sdk.COMM_SUCCESS, 0)
  assert handler.readTxRx(port, 10, 224, 4) == (data, sdk.COMM_SUCCESS, 0)


@pytest.mark.parametrize("fast", [False, True])
def test_sync_read(host, fast):
  port, handler, _ = host
  group = sdk.GroupSyncRead(port, handler, 126, 10)
  for id in IDS:
    group.addParam(id)
  for _ in range(5):
    assert (group.fastSyncRead() if fast else group.txRxPacket()) == sdk.COMM_SUCCESS
  assert [group.getData(id, *POSITION) for id in IDS] == [2048] * 9


def test_sync_write(host):
  port, handler, network = host
  group = sdk.GroupSyncWrite(port, handler, 116, 4)
  for id in IDS:
    group.addParam(id, list((id * 20).to_bytes(4, "little")))
  assert group.txPacket() == sdk.COMM_SUCCESS
  wait_for(lambda: [s.table["goal_position"] for s in network.servos] == [i * 20 for i in IDS])


def test_bulk_read_and_write(host):
  port, handler, network = host
  read = sdk.GroupBulkRead(port, handler)
  read.addParam(10, 144, 2)
  read.addParam(32, 132, 4)
  assert read.txRxPacket() == sdk.COMM_SUCCESS
  assert read.getData(10, 144, 2) == 120 and read.getData(32, *POSITION) == 2048
  write = sdk.GroupBulkWrite(port, handler)
  write.addParam(10, 65, 1, [1])
  write.addParam(11, 116, 4, [7, 0, 0, 0])
  assert write.txPacket() == sdk.COMM_SUCCESS
  wait_for(lambda: network.servos[0].table["led"] == 1)
  assert network.servos[1].table["goal_position"] == 7


def test_reboot_and_alert(host):
  port, handler, network = host
  network.faults.on("over_temperature", [20])
  wait_for(lambda: network.servos[3].table["hardware_error_status"])
  assert handler.ping(port, 20) == (1030, sdk.COMM_SUCCESS, 0x80)
  network.faults.off()
  wait_for(lambda: network.servos[3].body.temperature == 30)
  assert handler.reboot(port, 20) == (sdk.COMM_SUCCESS, 0x80)
  wait_for(lambda: handler.ping(port, 20) == (1030, sdk.COMM_SUCCESS, 0))
  assert network.servos[3].table["hardware_error_status"] == 0


def test_broadcast_ping(host):
  port, handler, _ = host
  found, result = handler.broadcastPing(port)
  assert result == sdk.COMM_SUCCESS and sorted(found) == IDS
  assert found[10] == [1030, 45]


def test_table_in_memory_is_the_sdk_s_byte_order(host):
  port, handler, network = host
  network.servos[0].table.set("homing_offset", -2)
  value, _, _ = handler.read4ByteTxRx(port, 10, registers.item("homing_offset").address)
  assert value == 2**32 - 2
