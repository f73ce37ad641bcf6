"""moteus' own Python client, an independent program, talks to the emulated controllers."""

import asyncio
import contextlib
import math

import pytest
from moteus_cases import channel, eventually, leg, moteus_package

from hardware.emulators.moteus.can_bus import CanBus
from hardware.emulators.moteus.fdcanusb_port import FdcanusbPort

moteus = moteus_package()
TIME = 10.0


def run(work):
  """Runs a coroutine that may hang, as the client does if a controller is missing."""
  asyncio.run(asyncio.wait_for(work, TIME))


@contextlib.asynccontextmanager
async def on_can(bench):
  name = channel()
  with CanBus(bench, "virtual", name):
    device = moteus.PythonCanDevice(interface="virtual", channel=name)
    try:
      yield moteus.Transport(device)
    finally:
      device.close()


@contextlib.asynccontextmanager
async def on_serial(bench):
  port = FdcanusbPort(bench)
  with port:
    transport = moteus.Fdcanusb(port.path)
    try:
      yield transport
    finally:
      asyncio.get_running_loop().remove_reader(transport._transport.devices()[0]._serial.fd)
      transport.close()


async def talk(transport, bench):
  first, second = (moteus.Controller(id=i, transport=transport) for i in (11, 12))
  mode, torque = moteus.Register.MODE, moteus.Register.TORQUE
  state = await first.query()
  assert state.id == 11 and state.values[mode] == moteus.Mode.STOPPED
  assert state.values[moteus.Register.VOLTAGE] == 24.0
  command = dict(position=math.nan, feedforward_torque=0.1, maximum_torque=0.4)
  command |= dict(kp_scale=0.0, kd_scale=0.0, watchdog_timeout=0.8)
  frames = [c.make_position(query=True, **command) for c in (first, second)]
  await transport.cycle(frames)
  await asyncio.sleep(0.02)
  states = await transport.cycle(frames)
  assert {s.values[mode] for s in states} == {moteus.Mode.POSITION}
  assert {round(s.values[torque], 6) for s in states} == {0.1}
  assert all(s.values[moteus.Register.VELOCITY] > 0 for s in states)
  await first.set_stop()
  state = await first.query()
  assert state.values[mode] == moteus.Mode.STOPPED
  assert eventually(lambda: bench.controllers[1].mode == moteus.Mode.TIMEOUT)
  await second.set_position(**command)
  state = await second.query()
  assert state.values[mode] == moteus.Mode.TIMEOUT  # latched
  await second.set_stop()
  state = await second.query()
  assert state.values[mode] == moteus.Mode.STOPPED


@pytest.mark.parametrize("connect", [on_can, on_serial])
def test_query_position_stop_and_time_out(connect):
  async def work():
    bench = leg()
    async with connect(bench) as transport:
      await talk(transport, bench)

  run(work())


def test_number_types_unknown_registers_faults_and_discovery():
  async def work():
    bench = leg()
    async with on_can(bench) as transport:
      client = moteus.Controller(id=11, transport=transport)
      for resolution in (moteus.INT8, moteus.INT16, moteus.INT32, moteus.F32):
        state = await client.custom_query({1: resolution, 0x0D: resolution})
        assert state.values == {1: 0.0, 0x0D: 24.0}
      state = await client.custom_query({1: moteus.F32, 0x155: moteus.INT32})
      assert state.values == {1: 0.0}
      found = await transport.discover()
      assert [device.can_id for device in found] == [11, 12]
      bench.faults.start("voltage_dip", device=11)
      await client.set_position(position=math.nan, query=True)
      await asyncio.sleep(0.05)
      state = await client.query()
      assert state.values[moteus.Register.MODE] == moteus.Mode.FAULT
      assert state.values[moteus.Register.FAULT] == 40

  run(work())


def test_the_client_waits_for_ever_for_a_missing_controller():
  """Recorded because our transport exists for this reason; see test_python_can."""

  async def work():
    async with on_can(leg()) as transport:
      frames = [moteus.Controller(id=i).make_query() for i in (11, 13)]
      with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(transport.cycle(frames), 0.5)

  run(work())
