import pytest
from moteus_cases import leg

from hardware.buses.moteus import commands
from hardware.buses.moteus.commands import PositionCommand, position_frame
from hardware.buses.moteus.frames import Frame, make_id
from hardware.buses.moteus.registers import Mode
from hardware.emulators.moteus.bench import Bench
from hardware.emulators.moteus.controller import Controller, ControllerConfig
from hardware.emulators.moteus.physics import Inertia
from mbrl_jax.ops.validate import ArgumentError


def command(bench, controller, setpoint):
  for _ in range(200):
    bench.handle(position_frame(controller, setpoint))
    bench.advance(0.01)


def test_a_position_is_reached_and_the_other_joint_stays():
  bench = leg(ControllerConfig(kd=0.5))
  command(bench, 11, PositionCommand(1.0, 0.1, position=0.2))
  assert bench.physics.positions == pytest.approx([0.2, 0.0], abs=2e-3)
  assert bench.controllers[0].position == pytest.approx(0.2, abs=2e-3)


def test_a_torque_turns_a_joint_until_its_command_expires():
  bench = leg()
  bench.handle(position_frame(12, commands.torque_command(0.1, 0.4, 0.1)))
  bench.advance(0.09)
  assert bench.physics.velocities[1] > 0.05
  bench.advance(0.1)
  assert bench.controllers[1].mode is Mode.TIMEOUT


def test_the_default_plant_does_not_depend_on_how_time_is_cut():
  one, many = leg(), leg()
  for bench, steps in ((one, 1), (many, 10)):
    bench.handle(position_frame(11, commands.torque_command(0.1, 0.4, 1.0)))
    for _ in range(steps):
      bench.advance(0.1 / steps)
  assert one.physics.positions == pytest.approx(many.physics.positions)


def test_everybody_answers_a_broadcast():
  bench = leg()
  replies = bench.handle(Frame(make_id(0, 127, reply=True), b"\x11\x00"))
  assert [reply.source for reply in replies] == [11, 12]


def test_faults_of_the_supply_and_the_board():
  bench = leg()
  for controller in bench.controllers:
    bench.handle(position_frame(controller.id, PositionCommand(0.4, 0.1)))
  bench.faults.start("over_temperature", device=11)
  bench.faults.start("voltage_dip", device=12)
  bench.advance(0.01)
  assert [c.fault for c in bench.controllers] == [38, 40]
  bench.faults.stop()
  bench.advance(0.01)
  assert [(c.temperature, c.voltage) for c in bench.controllers] == [(25.0, 24.0)] * 2


def test_a_silent_controller_hears_nothing():
  bench = leg()
  bench.faults.start("silent", device=11)
  for controller in (11, 12):
    bench.handle(position_frame(controller, PositionCommand(0.4, 0.1)))
  assert [c.mode for c in bench.controllers] == [Mode.STOPPED, Mode.POSITION]
  bench.faults.start("unplugged")
  assert bench.handle(commands.query_frame(12)) == []


def test_bad_arguments():
  with pytest.raises(ArgumentError, match="must be as many as joints=2"):
    Bench([Controller(1)], Inertia(2))
  with pytest.raises(ArgumentError, match="must have ids of their own"):
    Bench([Controller(1), Controller(1)], Inertia(2))
  with pytest.raises(ArgumentError, match="seconds=-1"):
    leg().advance(-1)
