"""Finds sensors of a MuJoCo model by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np

from mbrl_jax.ops import validate


def list_sensors(model: Any) -> list[str]:
  """Lists the names of the sensors of an ``MjModel`` or ``mjx.Model``, in its order.

  A sensor without a name appears as ``""``.
  """
  return [model.names[a : model.names.index(b"\0", a)].decode() for a in model.name_sensoradr]


def find_sensors(model: Any, names: Iterable[str]) -> tuple[int, ...]:
  """Returns the ids of the sensors with these names.

  Raises:
    ValueError: one is unknown; names the nearest and all there are. Or the model computes none.
  """
  known, names = list_sensors(model), tuple(names)
  if not any(known) and any(names):
    text = "is not known: the model has no sensor with a name."
    raise validate.ArgumentError("sensor", names[0], text)
  if names and int(model.opt.disableflags) & mujoco.mjtDisableBit.mjDSBL_SENSOR:
    raise validate.ArgumentError(
      "sensor",
      names[0],
      "always reads 0: the model switches sensors off (option flag sensor='disable').",
    )
  named = [name for name in known if name]
  return tuple(known.index(validate.choice("sensor", name, named)) for name in names)


def sensor_addresses(model: Any, sensors: tuple[int, ...]) -> np.ndarray:
  """Returns where in ``sensordata`` the values of ``sensors`` lie ``[S]``."""
  spans = [model.sensor_adr[i] + np.arange(model.sensor_dim[i]) for i in sensors]
  return np.concatenate([*spans, np.zeros(0, int)]).astype(int)


def sensor_dims(model: Any, sensors: Iterable[int]) -> list[int]:
  """Returns how many numbers each of the sensors gives."""
  return [int(model.sensor_dim[i]) for i in sensors]
