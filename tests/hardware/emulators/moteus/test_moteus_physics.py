import math

import numpy as np
import pytest

from hardware.emulators.moteus.physics import Inertia
from mbrl_jax.ops.validate import ArgumentError


def test_a_torque_accelerates_an_inertia():
  plant = Inertia(2, inertia=0.5, friction=1e-9)
  plant.advance(0.2, [0.3, 0.0])
  acceleration = 0.3 / 0.5 / (2 * math.pi)
  np.testing.assert_allclose(plant.velocities, [acceleration * 0.2, 0], rtol=1e-6)
  np.testing.assert_allclose(plant.positions, [acceleration * 0.02, 0], rtol=1e-4)


def test_friction_balances_a_torque():
  plant = Inertia(1, inertia=0.01, friction=0.05)
  plant.advance(100.0, [0.1])
  np.testing.assert_allclose(plant.velocities, [0.1 / 0.05 / (2 * math.pi)])


def test_steps_of_any_size_agree():
  one, many = Inertia(1), Inertia(1)
  one.advance(0.5, [0.2])
  for _ in range(500):
    many.advance(0.001, [0.2])
  np.testing.assert_allclose(one.positions, many.positions)
  np.testing.assert_allclose(one.velocities, many.velocities)


def test_bad_arguments():
  with pytest.raises(ArgumentError, match="inertia=0 must be positive"):
    Inertia(1, inertia=0)
  with pytest.raises(ArgumentError, match="torques=1 must be 2 numbers"):
    Inertia(2).advance(0.1, [0.0])
  with pytest.raises(ArgumentError, match="seconds=-1"):
    Inertia(1).advance(-1, [0.0])
