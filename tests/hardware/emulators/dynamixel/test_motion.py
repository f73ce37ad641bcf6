"""Operating modes, profiles and limits of the emulated motor."""

import math

import numpy as np
import pytest

from hardware.buses.dynamixel import registers
from hardware.emulators.dynamixel import motion
from hardware.emulators.dynamixel.network import Network
from hardware.emulators.dynamixel.physics import IDLE, RotorPlant
from hardware.emulators.dynamixel.servo import Servo
from mbrl_jax.ops.validate import ArgumentError


class Motor:
  """One servo on a rotor, stepped by hand."""

  def __init__(self, **settings):
    self.servo = Servo(settings=settings)
    self.plant = RotorPlant(1)
    self.network = Network([self.servo], self.plant)
    self.now = 0.0
    self.network.advance(0.0)

  def set(self, **values):
    for name, value in values.items():
      item = registers.item(name)
      self.servo.write(item.address, item.encode(value))
      assert self.servo.table[name] == value, name

  def run(self, seconds, dt=0.005):
    """Returns the positions in ticks on the way."""
    trace = []
    for _ in range(round(seconds / dt)):
      self.now += dt
      self.network.advance(self.now)
      trace.append(self.servo.body.ticks)
    return np.array(trace)


def test_position_mode_reaches_its_goal_and_stays():
  motor = Motor()
  motor.set(torque_enable=1, goal_position=2500)
  trace = motor.run(1.0)
  assert abs(trace[-1] - 2500) < 15 and np.ptp(trace[-20:]) < 3


def test_without_torque_nothing_moves_but_by_load():
  motor = Motor()
  motor.set(goal_position=100)
  assert motor.servo.body.drive is IDLE
  assert (motor.run(0.2) == 2048).all()
  motor.plant.load[:] = 0.2
  assert motor.run(0.2)[-1] > 2100


def test_profile_velocity_limits_the_speed():
  motor = Motor()
  motor.set(torque_enable=1, profile_velocity=50, goal_position=3000)
  trace = motor.run(3.0)
  speed = np.diff(trace[20:80]).mean() * registers.RAD / 0.005
  assert speed == pytest.approx(50 * registers.RAD_PER_S, rel=0.1)
  assert abs(trace[-1] - 3000) < 15


def test_profile_acceleration_starts_and_stops_gently():
  motor = Motor()
  motor.set(torque_enable=1, profile_acceleration=5, profile_velocity=100, goal_position=3000)
  body, speeds = motor.servo.body, []
  for _ in range(600):
    motor.run(0.005)
    speeds.append(body.motion.velocity)
  most = 5 * registers.RAD_PER_S2 * 0.005
  assert np.abs(np.diff(speeds))[:-1].max() <= most * 1.5
  assert max(speeds) <= 100 * registers.RAD_PER_S + 1e-9
  assert body.motion.position == pytest.approx(3000 * registers.RAD, abs=0.01)


def test_velocity_mode_turns_at_its_goal():
  motor = Motor(operating_mode=registers.VELOCITY)
  motor.set(torque_enable=1, goal_velocity=-100)
  motor.run(0.5)
  assert motor.plant.velocities[0] == pytest.approx(-100 * registers.RAD_PER_S, rel=0.1)


def test_current_mode_exerts_its_torque_below_the_limit():
  motor = Motor(operating_mode=registers.CURRENT)
  motor.set(torque_enable=1, goal_current=100)
  motor.plant.load[:] = -100 * registers.AMPERE * motion.TORQUE_CONSTANT  # holds it
  motor.run(0.1)
  assert motor.plant.torques[0] == pytest.approx(0.351, abs=0.001)
  motor.servo.body.measure()
  assert motor.servo.table["present_current"] == 100


def test_current_based_position_pushes_with_the_goal_current_only():
  motor = Motor(operating_mode=registers.CURRENT_POSITION)
  motor.set(torque_enable=1, goal_current=50, goal_position=4000)
  motor.plant.load[:] = -3.0
  motor.run(0.1)
  assert motor.plant.torques[0] == pytest.approx(50 * registers.AMPERE * motion.TORQUE_CONSTANT)


def test_extended_mode_passes_a_turn():
  motor = Motor(operating_mode=registers.EXTENDED_POSITION)
  motor.set(torque_enable=1, goal_position=-3000)
  assert abs(motor.run(2.0)[-1] + 3000) < 15


def test_no_load_speed_is_that_of_the_manual():
  motor = Motor(operating_mode=registers.PWM_MODE)
  motor.set(torque_enable=1, goal_pwm=885)
  motor.run(1.0)
  rpm = motor.plant.velocities[0] * 60 / (2 * math.pi)
  assert 0.4 * 77 < rpm < 77


def test_torque_on_with_an_old_goal_jumps():
  """Assumed of the real servo; hosts must set the goal first."""
  motor = Motor()
  motor.set(goal_position=1000, torque_enable=1)
  assert motor.run(1.0)[-1] < 1100


def test_plant_must_fit():
  with pytest.raises(ArgumentError, match="must be as many as motors=2"):
    Network([Servo()], RotorPlant(2))
  with pytest.raises(ArgumentError, match="inertia"):
    RotorPlant(1, inertia=0.0)
