"""Steps batches of MuJoCo states on the host with ``mujoco.batch.Batch``.

A ``Batch`` keeps its simulations between calls. Every call here writes the complete state
that a step starts from, so the results do not depend on earlier calls.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch

from mbrl_jax.envs.physics.sensors import sensor_addresses

_PART, _STAGE = mujoco.mjtState, mujoco.mjtStage
_ON, _OFF = mujoco.mjtEnableBit, mujoco.mjtDisableBit
# What a step starts from and changes. In MuJoCo's order inputs, such as controls and mocap
# poses, come after the warm start and before the states of plugins.
_STATE = int(_PART.mjSTATE_FULLPHYSICS | _PART.mjSTATE_WARMSTART)
_BEFORE_INPUTS = _STATE & (int(_PART.mjSTATE_CTRL) - 1)
# Sensors that do not depend on gravity, springs, constraints or actuation.
_KINEMATIC = (
  "VELOCIMETER GYRO MAGNETOMETER RANGEFINDER CAMPROJECTION JOINTPOS JOINTVEL TENDONPOS "
  "TENDONVEL BALLQUAT BALLANGVEL FRAMEPOS FRAMEQUAT FRAMEXAXIS FRAMEYAXIS FRAMEZAXIS "
  "FRAMELINVEL FRAMEANGVEL SUBTREECOM SUBTREELINVEL SUBTREEANGMOM INSIDESITE GEOMDIST "
  "GEOMNORMAL GEOMFROMTO E_KINETIC CLOCK "
)
# If sensors are read and all MjData fit into so many bytes, each row gets its own: MuJoCo then
# reuses what it computed for the sensors in the next step, if the state is still bit-identical.
# Larger batches leave the processor's caches and become slower.
_OWN_DATA_BYTES = 2**20
_MAX_BATCHES = 4  # to act, to evaluate, to plan and one more
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_LOCK = threading.Lock()  # shared by all engines: MuJoCo has one warning handler a process


class Engine:
  """Steps batches of states on the host with MuJoCo's threads.

  The input is one int32 array ``[..., S + nu + S]``: the bits of float32 states and
  controls (and of one more number, the index of the model, if there are several), then the
  ulps of the states, see ``split``. The output is ``[..., S + E + S]``: the bits of
  states and sensor values, then ulps. Each is a single array, because every buffer
  adds microseconds to a callback.

  Threads and their ``MjData`` are scratch space, allocated at the first use of a batch
  size; a lock serialises concurrent programs. All numbers must be finite. The threads do
  not survive a fork, like those of jax.

  Attributes:
    size: length of a state, ``S``.
    initial: a valid initial state, rounded ``[S]``.
    initial_ulps: its ulps ``[S]``.
    result_size: columns of the output.

  Raises:
    ValueError: a model keeps information between steps that is in no state.
  """

  def __init__(
    self,
    models: Sequence[mujoco.MjModel],
    sensors: tuple[int, ...],
    keyframe: int | None = None,
  ):
    self._models = [_prepare(model) for model in models]
    model = self._models[0]
    data = mujoco.MjData(model)
    if keyframe is not None:
      mujoco.mj_resetDataKeyframe(model, data, keyframe)
    state = _read(model, data, _STATE)
    self._row = _read(model, data, int(_PART.mjSTATE_INTEGRATION))
    self.size = state.size
    self.initial = np.empty(self.size, np.float32)
    self.initial_ulps = np.empty(self.size, np.int32)
    split(state, self.initial, self.initial_ulps)
    self._stage = _sensor_stage(model, sensors)
    self._kinematics = _kinematics_model(model, sensors) if len(models) == 1 else None
    addresses = sensor_addresses(model, sensors)
    self._sensor_columns = _as_slice(addresses) if addresses.size else None
    self.result_size = 2 * self.size + addresses.size
    self._batches: dict[int, _Rows] = {}

  def step(self, substeps: int, packed: np.ndarray) -> np.ndarray:
    """Advances states of any leading shape by one control step.

    Args:
      substeps: simulation steps; zero only evaluates the sensors.
      packed: input ``[..., S + nu + S]``, see ``Engine``.

    Returns:
      Output ``[..., S + E + S]``.
    """
    shape, size = packed.shape[:-1], self.size
    packed = packed.reshape(-1, packed.shape[-1])
    floats, ulps = packed[:, :-size].view(np.float32), packed[:, -size:]
    out = np.empty((len(packed), self.result_size), np.int32)
    new_floats, new_ulps = out[:, :-size].view(np.float32), out[:, -size:]
    # huge numbers round to infinity
    with _LOCK, _no_log_file, np.errstate(over="ignore", invalid="ignore"):
      rows = self._rows(len(packed))
      rows.load(floats, ulps)
      if len(self._models) > 1:
        rows.select_models(self._models, floats[:, -1].astype(int).tolist())
      rows.step(substeps, self._stage, self._kinematics)
      rows.store(new_floats, new_ulps)
      if self._sensor_columns is not None:
        new_floats[:, size:] = rows.sensors[:, self._sensor_columns]
    return out.reshape(*shape, self.result_size)

  def _rows(self, count: int) -> _Rows:
    """Returns the batch of this size; keeps the most recently used ones."""
    rows = self._batches.pop(count, None)
    if rows is None:
      rows = _Rows(self._models[0], self._row, count, self._sensor_columns is not None)
    self._batches[count] = rows
    if len(self._batches) > _MAX_BATCHES:
      del self._batches[next(iter(self._batches))]
    return rows


class _Rows:
  """A ``Batch`` and views of its states, controls and sensors.

  Attributes:
    sensors: values of all sensors after a step ``[B, nsensordata]``; empty unless read.
  """

  def __init__(self, model: mujoco.MjModel, row: np.ndarray, count: int, read: bool):
    self._own_data = read and count * mujoco.MjData(model).nbuffer <= _OWN_DATA_BYTES
    self._batch = Batch(model, count, _cores(), self._own_data)
    state = self._batch.state
    state[:] = row
    head, size = (mujoco.mj_stateSize(model, part) for part in (_BEFORE_INPUTS, _STATE))
    tail = size - head  # states of plugins and plastic springs, if any
    spans = [(slice(0, head), slice(0, head))]
    spans += [(slice(head, size), slice(row.size - tail, row.size))] if tail else []
    self._parts = [(columns, state[:, span]) for columns, span in spans]
    self._ctrl = state[:, head : head + model.nu]
    self._ctrl_columns = slice(size, size + model.nu)
    self.sensors = self._batch.bind("sensordata") if read else np.empty((count, 0))
    self._selected: list[int] = []

  def load(self, floats: np.ndarray, ulps: np.ndarray) -> None:
    """Writes states and controls into the simulations."""
    for columns, state in self._parts:
      join(floats[:, columns], ulps[:, columns], state)
    self._ctrl[:] = floats[:, self._ctrl_columns]

  def select_models(self, models: Sequence[mujoco.MjModel], indices: list[int]) -> None:
    """Sets the model of each simulation."""
    if indices != self._selected:
      self._batch.set_models([models[i] for i in indices])
      self._selected = indices

  def step(self, substeps: int, stage: int, kinematics: mujoco.MjModel | None) -> None:
    """Takes the simulation steps, then computes ``stage`` at the new states.

    ``kinematics``, a cheaper model, computes it if simulations share their ``MjData``.
    """
    kinematics = None if self._own_data else kinematics
    if kinematics is not None:
      self._batch.set_models(None)
    if substeps:
      self._batch.step(None, substeps, int(_STAGE.mjSTAGE_NONE) if kinematics else stage)
    if kinematics is not None:
      self._batch.set_models(kinematics)
    if kinematics is not None or not substeps:
      self._batch.forward(None, stage)

  def store(self, floats: np.ndarray, ulps: np.ndarray) -> None:
    """Reads the states of the simulations into ``floats`` and ``ulps``."""
    for columns, state in self._parts:
      split(state, floats[:, columns], ulps[:, columns])


def split(states: np.ndarray, rounded: np.ndarray, ulps: np.ndarray) -> None:
  """Splits float64 ``states`` into float32 ``rounded`` and the rounding error ``ulps``.

  The bits of float64 numbers of one sign, read as integers, are ordered without gaps, so
  the difference of two counts units in the last place. It fits into an int32 where float32
  has all its 24 bits, from 1e-38 to 3e38.
  """
  rounded[:] = states
  error = states.view(np.int64) - rounded.astype(np.float64).view(np.int64)
  np.maximum(error, _INT32_MIN, out=error)
  ulps[:] = np.minimum(error, _INT32_MAX, out=error)


def join(rounded: np.ndarray, ulps: np.ndarray, states: np.ndarray) -> None:
  """Restores the float64 numbers that ``split`` split, into ``states``."""
  states[:] = rounded
  bits = states.view(np.int64)
  np.add(bits, ulps, out=bits)


def _as_slice(addresses: np.ndarray) -> np.ndarray | slice:
  """Returns contiguous addresses as a slice, which saves a microsecond."""
  first, last = int(addresses[0]), int(addresses[-1]) + 1
  return slice(first, last) if np.array_equal(addresses, range(first, last)) else addresses


def _prepare(model: mujoco.MjModel) -> mujoco.MjModel:
  """Returns a copy of a model whose step is a function of the state alone."""
  model = copy.copy(model)
  if model.opt.enableflags & _ON.mjENBL_IPC:
    raise ValueError(
      "option flag ipc='enable' keeps contacts between steps that are in no state; "
      "physics='mujoco' needs 'disable'."
    )
  # Without this MuJoCo replaces a diverging state by the initial one.
  model.opt.disableflags |= _OFF.mjDSBL_AUTORESET
  # With energies the sensor e_kinetic reads the last computed one, whatever its state;
  # sleeping is in no state.
  model.opt.enableflags &= ~int(_ON.mjENBL_ENERGY | _ON.mjENBL_SLEEP)
  return model


def _read(model: mujoco.MjModel, data: mujoco.MjData, parts: int) -> np.ndarray:
  """Returns parts of a state."""
  state = np.empty(mujoco.mj_stateSize(model, parts))
  mujoco.mj_getState(model, data, state, parts)
  return state


def _sensor_stage(model: mujoco.MjModel, sensors: tuple[int, ...]) -> int:
  """Returns the stage of a forward computation that the sensors need."""
  if not sensors:
    return int(_STAGE.mjSTAGE_NONE)
  if model.nhistory or model.nplugin:
    return int(_STAGE.mjSTAGE_ACC)
  return max(int(_STAGE.mjSTAGE_VEL), *map(int, model.sensor_needstage[list(sensors)]))


def _kinematics_model(model: mujoco.MjModel, sensors: tuple[int, ...]) -> mujoco.MjModel | None:
  """Returns a model that computes little but positions and velocities.

  ``None`` if a sensor needs more.
  """
  kinds = [int(getattr(mujoco.mjtSensor, f"mjSENS_{x}")) for x in _KINEMATIC.split()]
  kinematic = np.isin(model.sensor_type[list(sensors)], kinds).all()
  if not sensors or model.nhistory or model.nplugin or not kinematic:
    return None
  model = copy.copy(model)
  model.opt.disableflags |= _OFF.mjDSBL_CONSTRAINT | _OFF.mjDSBL_CONTACT
  model.opt.disableflags |= _OFF.mjDSBL_SPRING | _OFF.mjDSBL_DAMPER
  model.opt.disableflags |= _OFF.mjDSBL_GRAVITY | _OFF.mjDSBL_ACTUATION
  return model


class _NoLogFile:
  """Keeps MuJoCo from writing a log file; a diverging state becomes NaN."""

  def __enter__(self) -> None:
    self._previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_ignore)

  def __exit__(self, *_: Any) -> None:
    mujoco.set_mju_user_warning(self._previous)


_no_log_file = _NoLogFile()


def _ignore(message: str) -> None:
  del message


def _cores() -> int:
  """Returns the number of cores available to this process."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
