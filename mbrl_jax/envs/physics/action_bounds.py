"""Finds the bounds of actions that are the controls of a MuJoCo model."""

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
    low, high: bounds that the task gives itself; by default the ``ctrlrange``.
    commanded: the task turns actions into controls, so there may be any number of them.

  Raises:
    ValueError: bounds are taken from the model, but an actuator has none or none that
      can be used; or those given are not ``low <= high``, one for each control.
  """
  if low is None or high is None:
    limits = _control_limits(model)
    low, high = (
      limit if x is None else x for x, limit in zip((low, high), limits, strict=True)
    )
  low, high = np.float32(low), np.float32(high)
  wanted = low.shape if commanded else (model.nu,)
  if low.ndim != 1 or low.shape != wanted or high.shape != wanted:
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
  """Returns ``ctrlrange`` as float32; refuses what bounds nothing."""
  if not model.nu:
    raise ValueError("The model has no actuators with controls: there is nothing to plan.")
  with np.errstate(over="ignore"):
    low, high = np.float32(model.actuator_ctrlrange).T
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
        "MJCF (of make_task: or action_low and action_high)."
      )
  return low, high


def _names(model: mujoco.MjModel, bad: np.ndarray) -> list[str]:
  """Names the actuators of the controls in ``bad [nu]``."""
  first, count = model.actuator_ctrladr, model.actuator_ctrlnum
  hit = [i for i in range(model.nactuator) if bad[first[i] : first[i] + count[i]].any()]
  return [repr(model.actuator(i).name or str(i)) for i in hit]
