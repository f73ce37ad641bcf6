"""Determines the bounds of a task's actions."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from mbrl_jax.ops.validate import ArgumentError


def action_bounds(
  model: mujoco.MjModel, low: Any = None, high: Any = None, *, commanded: bool = False
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the bounds of a task's actions, ``low [A]`` and ``high [A]``.

  Args:
    model: the compiled model.
    low, high: bounds given by the task; by default the ``ctrlrange``.
    commanded: the task maps actions to controls, so their number is free.

  Raises:
    ValueError: the bounds come from the model, but an actuator has no usable ``ctrlrange``;
      or given bounds are not ``low <= high``, one for each control.
  """
  if low is None or high is None:
    limits = _control_limits(model)
    low, high = (
      limit if x is None else x for x, limit in zip((low, high), limits, strict=True)
    )
  low, high = np.array(low, np.float32), np.array(high, np.float32)
  expected = low.shape if commanded else (model.nu,)
  if low.ndim != 1 or low.shape != expected or high.shape != expected:
    raise ValueError(
      f"action_low and action_high must be one number for each of {model.nu} controls, got "
      f"shapes {list(low.shape)} and {list(high.shape)}."
    )
  if not (low <= high).all():
    raise ArgumentError(
      "action_low", low.tolist(), "must not be above {}.", ("action_high", high.tolist())
    )
  return low, high


def _control_limits(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
  """Returns ``ctrlrange`` as float32; raises unless it is finite and not empty."""
  if not model.nu:
    raise ValueError("The model has no actuators with controls: there are no actions to plan.")
  with np.errstate(over="ignore"):
    low, high = np.asarray(model.actuator_ctrlrange, np.float32).T
  usable = np.isfinite(low) & np.isfinite(high) & (low < high)
  for bad, fault in (
    (model.actuator_ctrllimited == 0, "no limits"),
    (~usable, "no finite limits"),
  ):
    names = _names(model, bad)
    if names:
      who = f"{'s' if names[1:] else ''} {', '.join(names)} {'have' if names[1:] else 'has'}"
      raise ValueError(
        f"The actuator{who} {fault}, but plans need bounds: write ctrlrange='low high' in the "
        "MJCF, or pass action_low and action_high to make_task."
      )
  return low, high


def _names(model: mujoco.MjModel, bad: np.ndarray) -> list[str]:
  """Returns the names of the actuators with a control in ``bad [nu]``."""
  first, count = model.actuator_ctrladr, model.actuator_ctrlnum
  hit = [i for i in range(model.nactuator) if bad[first[i] : first[i] + count[i]].any()]
  return [repr(model.actuator(i).name or str(i)) for i in hit]
