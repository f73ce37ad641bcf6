"""Steps batches of MuJoCo states on the host with ``mujoco.batch.Batch``.

A ``Batch`` keeps its simulations between calls. Here every call writes all that a step
starts from, so nothing that earlier calls left can show in the results.
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
# What a step starts from and changes. Inputs, such as controls and mocap poses, stand
# behind the warm start in MuJoCo's order and before the states of plugins.
_STATE = int(_PART.mjSTATE_FULLPHYSICS | _PART.mjSTATE_WARMSTART)
_BEFORE_INPUTS = _STATE & (int(_PART.mjSTATE_CTRL) - 1)
# Sensors that gravity, springs, constraints and actuation do not change.
_KINEMATIC = (
  "VELOCIMETER GYRO MAGNETOMETER RANGEFINDER CAMPROJECTION JOINTPOS JOINTVEL TENDONPOS "
  "TENDONVEL BALLQUAT BALLANGVEL FRAMEPOS FRAMEQUAT FRAMEXAXIS FRAMEYAXIS FRAMEZAXIS "
  "FRAMELINVEL FRAMEANGVEL SUBTREECOM SUBTREELINVEL SUBTREEANGMOM INSIDESITE GEOMDIST "
  "GEOMNORMAL GEOMFROMTO E_KINETIC CLOCK "
)
# Rows whose MjData fill no more bytes have one each if sensors are read: MuJoCo then starts the
# next step with what the sensors needed, where the state is still the same to the bit. More
# of them leave the processor's caches and lose by it.
_OWN = 2**20
_KEPT = 4  # batches: to act, to evaluate, to plan and one more
_LEAST, _MOST = -(2**31), 2**31 - 1  # of int32
_LOCK = threading.Lock()  # one for all engines, because MuJoCo has one handler of warnings


class Engine:
  """Steps batches of states on the host with MuJoCo's threads.

  What goes in is one int32 array ``[..., S + nu + S]``: the bits of float32 states and
  controls (and of one more number, the index of the model, where there are several), then the
  ulps of the states, see ``split``. What comes out is ``[..., S + E + S]``: the bits of
  states and values of the sensors, then ulps. One array each way, because every buffer
  costs a call back microseconds.

  Threads and their ``MjData`` are scratch space, made for a size of batch when it is first
  asked for; a lock keeps programs that run side by side apart. All numbers must be usable.
  The threads do not survive a fork, as those of jax do not.

  Attributes:
    size: numbers of a state, ``S``.
    first: a state that MuJoCo can start from, rounded ``[S]``.
    first_ulps: its ulps ``[S]``.
    results: columns of what comes out.

  Raises:
    ValueError: a model keeps something from step to step that is in no state.
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
    self.first, self.first_ulps = np.empty(self.size, np.float32), np.empty(self.size, np.int32)
    split(state, self.first, self.first_ulps)
    self._stage = _stage(model, sensors)
    self._look = _look(model, sensors) if len(models) == 1 else None
    addresses = sensor_addresses(model, sensors)
    self._seen = _slice(addresses) if addresses.size else None
    self.results = 2 * self.size + addresses.size
    self._batches: dict[int, _Rows] = {}

  def step(self, substeps: int, packed: np.ndarray) -> np.ndarray:
    """Advances states of any leading shape by one control step, see above.

    Args:
      substeps: simulation steps; zero only evaluates the sensors.
      packed: what goes in.

    Returns:
      What comes out.
    """
    shape, size = packed.shape[:-1], self.size
    packed = packed.reshape(-1, packed.shape[-1])
    floats, ulps = packed[:, :-size].view(np.float32), packed[:, -size:]
    out = np.empty((len(packed), self.results), np.int32)
    results, lost = out[:, :-size].view(np.float32), out[:, -size:]
    # huge numbers round to infinity
    with _LOCK, _quiet, np.errstate(over="ignore", invalid="ignore"):
      rows = self._rows(len(packed))
      rows.load(floats, ulps)
      if len(self._models) > 1:
        rows.choose(self._models, floats[:, -1].astype(int).tolist())
      rows.move(substeps, self._stage, self._look)
      rows.store(results, lost)
      if self._seen is not None:
        results[:, size:] = rows.sensors[:, self._seen]
    return out.reshape(*shape, self.results)

  def _rows(self, count: int) -> _Rows:
    """Returns the batch of this size, one of the last few that were used."""
    rows = self._batches.pop(count, None)
    if rows is None:
      rows = _Rows(self._models[0], self._row, count, self._seen is not None)
    self._batches[count] = rows
    if len(self._batches) > _KEPT:
      del self._batches[next(iter(self._batches))]
    return rows


class _Rows:
  """One ``Batch``, and views of what a step reads and writes in it.

  Attributes:
    sensors: values of all sensors after a step ``[B, nsensordata]``; none where not read.
  """

  def __init__(self, model: mujoco.MjModel, row: np.ndarray, count: int, read: bool):
    self._own = read and count * mujoco.MjData(model).nbuffer <= _OWN
    self._batch = Batch(model, count, _cores(), self._own)
    state = self._batch.state
    state[:] = row
    head, size = (mujoco.mj_stateSize(model, part) for part in (_BEFORE_INPUTS, _STATE))
    tail = size - head  # of plugins and plastic springs; mostly there are none
    spans = [(slice(0, head), slice(0, head))]
    spans += [(slice(head, size), slice(row.size - tail, row.size))] if tail else []
    self._parts = [(ours, state[:, span]) for ours, span in spans]
    self._ctrl = state[:, head : head + model.nu]
    self._after = slice(size, size + model.nu)
    self.sensors = self._batch.bind("sensordata") if read else None
    self._chosen: list[int] = []

  def load(self, floats: np.ndarray, ulps: np.ndarray) -> None:
    """Writes states and controls into the simulations."""
    for ours, state in self._parts:
      join(floats[:, ours], ulps[:, ours], state)
    self._ctrl[:] = floats[:, self._after]

  def choose(self, models: Sequence[mujoco.MjModel], chosen: list[int]) -> None:
    """Gives each simulation its model."""
    if chosen != self._chosen:
      self._batch.set_models([models[i] for i in chosen])
      self._chosen = chosen

  def move(self, substeps: int, stage: int, look: mujoco.MjModel | None) -> None:
    """Takes the steps, then computes ``stage`` at the new states.

    ``look`` computes it for less, where simulations have no ``MjData`` of their own.
    """
    look = None if self._own else look
    if look is not None:
      self._batch.set_models(None)
    if substeps:
      self._batch.step(None, substeps, int(_STAGE.mjSTAGE_NONE) if look else stage)
    if look is not None:
      self._batch.set_models(look)
    if look is not None or not substeps:
      self._batch.forward(None, stage)

  def store(self, floats: np.ndarray, ulps: np.ndarray) -> None:
    """Writes the states of the simulations to where the results go."""
    for ours, state in self._parts:
      split(state, floats[:, ours], ulps[:, ours])


def split(states: np.ndarray, rounded: np.ndarray, ulps: np.ndarray) -> None:
  """Writes float64 ``states`` as float32 into ``rounded`` and what that lost into ``ulps``.

  The bits of float64 numbers of one sign, read as integers, are in order and without gaps.
  So a difference of two of them counts units in the last place. It fits into an int32
  where float32 has all its 24 bits, which it has from 1e-38 to 3e38.
  """
  rounded[:] = states
  lost = states.view(np.int64) - rounded.astype(np.float64).view(np.int64)
  np.maximum(lost, _LEAST, out=lost)
  ulps[:] = np.minimum(lost, _MOST, out=lost)


def join(rounded: np.ndarray, ulps: np.ndarray, states: np.ndarray) -> None:
  """Writes the float64 that ``split`` took apart into ``states``."""
  states[:] = rounded
  bits = states.view(np.int64)
  np.add(bits, ulps, out=bits)


def _slice(addresses: np.ndarray) -> np.ndarray | slice:
  """Returns addresses without gaps as a slice, which spares a microsecond."""
  first, last = int(addresses[0]), int(addresses[-1]) + 1
  return slice(first, last) if np.array_equal(addresses, range(first, last)) else addresses


def _prepare(model: mujoco.MjModel) -> mujoco.MjModel:
  """Returns a copy of a model of which a step is a function of the state."""
  model = copy.copy(model)
  if model.opt.enableflags & _ON.mjENBL_IPC:
    raise ValueError(
      "option flag ipc='enable' keeps contacts from step to step that are in no state; "
      "physics='mujoco' needs 'disable'."
    )
  # A diverging state must show, not be replaced by the model's initial one.
  model.opt.disableflags |= _OFF.mjDSBL_AUTORESET
  # With energies the sensor e_kinetic shows that of whatever was computed last; who sleeps
  # is in no state.
  model.opt.enableflags &= ~int(_ON.mjENBL_ENERGY | _ON.mjENBL_SLEEP)
  return model


def _read(model: mujoco.MjModel, data: mujoco.MjData, parts: int) -> np.ndarray:
  """Returns parts of a state."""
  state = np.empty(mujoco.mj_stateSize(model, parts))
  mujoco.mj_getState(model, data, state, parts)
  return state


def _stage(model: mujoco.MjModel, sensors: tuple[int, ...]) -> int:
  """Returns the stage of a forward computation after which the sensors can be read."""
  if not sensors:
    return int(_STAGE.mjSTAGE_NONE)
  if model.nhistory or model.nplugin:
    return int(_STAGE.mjSTAGE_ACC)
  return max(int(_STAGE.mjSTAGE_VEL), *map(int, model.sensor_needstage[list(sensors)]))


def _look(model: mujoco.MjModel, sensors: tuple[int, ...]) -> mujoco.MjModel | None:
  """Returns a model that computes positions, velocities and little else.

  ``None`` where one of the sensors needs more.
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


class _Quiet:
  """Keeps MuJoCo from writing a log file; a state that diverges shows as NaN."""

  def __enter__(self):
    self._before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_ignore)

  def __exit__(self, *_: Any):
    mujoco.set_mju_user_warning(self._before)


_quiet = _Quiet()


def _ignore(message: str) -> None:
  del message


def _cores() -> int:
  """Counts the cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
