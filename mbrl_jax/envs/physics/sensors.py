"""Finds sensors of a MuJoCo model by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np

from mbrl_jax.ops import validate


def list_sensors(model: Any) -> list[str]:
  """Lists the sensor names of an ``MjModel`` or ``mjx.Model`` in order, ``""`` for unnamed."""
  return [model.names[a : model.names.index(b"\0", a)].decode() for a in model.name_sensoradr]


def find_sensors(model: Any, names: Iterable[str]) -> tuple[int, ...]:
  """Returns the ids of the sensors with these names.

  Raises:
    ValueError: a name is unknown, or the model disables sensors. The message names the
      closest and all valid names.
  """
  known, names = list_sensors(model), tuple(names)
  if not any(known) and any(names):
    text = "is not known: the model has no named sensor."
    raise validate.ArgumentError("sensor", names[0], text)
  if names and int(model.opt.disableflags) & mujoco.mjtDisableBit.mjDSBL_SENSOR:
    raise validate.ArgumentError(
      "sensor",
      names[0],
      "always reads 0: the model disables sensors (option flag sensor='disable').",
    )
  named = [name for name in known if name]
  return tuple(known.index(validate.choice("sensor", name, named)) for name in names)


def sensor_addresses(model: Any, sensors: tuple[int, ...]) -> np.ndarray:
  """Returns the indices ``[S]`` of the values of ``sensors`` in ``sensordata``."""
  spans = [model.sensor_adr[i] + np.arange(model.sensor_dim[i]) for i in sensors]
  return np.concatenate([*spans, np.zeros(0, int)]).astype(int)


def sensor_dims(model: Any, sensors: Iterable[int]) -> list[int]:
  """Returns the number of values of each sensor."""
  return [int(model.sensor_dim[i]) for i in sensors]
