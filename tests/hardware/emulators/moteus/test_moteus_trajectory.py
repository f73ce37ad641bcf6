import math

import pytest

from hardware.buses.moteus.registers import Register
from hardware.emulators.moteus.register_file import COMMAND_DEFAULTS
from hardware.emulators.moteus.trajectory import Trajectory


def trajectory(start=0.0, **command):
  written = {Register[f"COMMAND_{name.upper()}"]: value for name, value in command.items()}
  return Trajectory({**COMMAND_DEFAULTS, **written}, start)


def run(setpoint, steps=100, seconds=0.01):
  for _ in range(steps):
    setpoint.advance(seconds)
  return setpoint.position, setpoint.velocity


def test_a_position_is_taken_at_once():
  assert trajectory(position=0.5).position == 0.5


def test_without_a_position_it_goes_on_from_where_it_is():
  assert run(trajectory(0.3, position=math.nan)) == (0.3, 0.0)


def test_a_velocity_moves_it_until_the_stop_position():
  assert run(trajectory(position=0.0, velocity=0.5))[0] == pytest.approx(0.5)
  assert run(trajectory(position=0.0, velocity=0.5, stop_position=0.2)) == (0.2, 0.0)


def test_without_a_position_it_moves_towards_the_stop_whatever_the_sign():
  moved = trajectory(0.3, position=math.nan, velocity=0.5, stop_position=0.1)
  assert run(moved) == (0.1, 0.0)


def test_a_velocity_limit_bounds_the_setpoint():
  moved = trajectory(0.0, position=1.0, velocity_limit=0.25)
  position, velocity = run(moved)
  assert position == pytest.approx(0.25) and velocity == pytest.approx(0.25)
  assert run(moved, 400)[0] == pytest.approx(1.0)
