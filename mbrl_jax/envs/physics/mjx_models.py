"""Converts MuJoCo models to ``mjx.Model``, checks them for MJX and stacks variants of one."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.mjcf_names import model_name
from mbrl_jax.envs.physics.mjx_sensors import find_unread
from mbrl_jax.envs.physics.mjx_support import find_unsupported
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Array


@single
def mjx_model(model: Any) -> Any:
  """Converts a MuJoCo model to the ``mjx.Model`` that ``mjx_dynamics`` takes as params.

  Args:
    model: ``mujoco.MjModel``, or an ``mjx.Model``, which is returned unchanged and only
      checked for the fields that it still holds.

  Raises:
    ValueError: the model uses features that MJX does not simulate (see ``mjx_support``); the
      message names them.

  Example:
    >>> import mujoco
    >>> from mbrl_jax.envs import mjx_model
    >>> pendulum = mujoco.MjModel.from_xml_string(
    ...   "<mujoco><worldbody><body><joint/><geom size='.1' mass='2'/></body></worldbody>"
    ...   "</mujoco>")
    >>> mjx_model(pendulum).body_mass.tolist()
    [0.0, 2.0]
  """
  mjx = import_mjx()
  is_mjx = isinstance(model, mjx.Model) and model.impl == mjx.Impl.JAX
  if not is_mjx and not isinstance(model, mujoco.MjModel):
    raise ValueError(
      f"model must be a mujoco.MjModel or an mjx.Model with impl='jax', got {_kind(model)}."
    )
  problem = None if _is_traced(model) else find_unsupported(model)
  if problem:
    raise ValueError(unsupported_message(model, problem))
  if is_mjx:
    return model
  try:
    device_model = mjx.put_model(model, impl="jax")
    mjx.make_data(model, impl="jax")
  except NotImplementedError as error:
    raise ValueError(unsupported_message(model, str(error))) from error
  return device_model


def check_sensors(model: Any, sensors: tuple[int, ...]) -> None:
  """Checks that MJX computes these sensors of a model, ``MjModel`` or ``mjx.Model``.

  Raises:
    ValueError: MJX does not compute one; the message names it and the reason.
  """
  if not sensors or _is_traced(model):
    return
  mjx_model(model)  # make_data may fail on a model that this rejects
  contacts = import_mjx().make_data(model, impl="jax")._impl.ncon
  problem = find_unread(model, sensors, contacts)
  if problem:
    raise ValueError(unsupported_message(model, problem))


def stack_models(
  models: Sequence[mujoco.MjModel], put: Callable[[Any], Any] | None = None
) -> tuple[Any, Any]:
  """Stacks models of the same shape into one ``mjx.Model``; equal fields are not stacked.

  Args:
    models: the models.
    put: converts one to an ``mjx.Model``, by default ``mjx_model``.

  Returns:
    The stack, and for each leaf 0 where it has a leading axis of models, else ``None``:
    ``in_axes`` of ``jax.vmap``.

  Raises:
    ValueError: MJX does not simulate a model, or the models differ in static fields.
  """
  parts = [(put or mjx_model)(model) for model in models]
  structures: list[Any] = [jax.tree.structure(part) for part in parts]
  for i, part in enumerate(parts):
    if structures[i] != structures[0]:
      raise ValueError(
        f"variants[{i}] and variants[0] differ in fields that are static in MJX: "
        f"{', '.join(_static_differences(parts[0], part))}; use physics='mujoco'."
      )
  same = lambda *leaves: all(np.array_equal(leaves[0], leaf) for leaf in leaves[1:])
  merge = lambda *leaves: leaves[0] if same(*leaves) else jnp.stack(leaves)
  axes = jax.tree.map(lambda *leaves: None if same(*leaves) else 0, *parts)
  return jax.tree.map(merge, *parts), axes


def take_model(stack: Any, axes: Any, index: Array) -> Any:
  """Returns one ``mjx.Model`` of a stack; ``index`` may be traced."""
  pick = lambda axis, leaf: leaf if axis is None else leaf[index]
  return jax.tree.map(pick, axes, stack, is_leaf=lambda x: x is None)


def import_mjx() -> ModuleType:
  """Imports MJX and suppresses the lines that it prints where Warp is not installed."""
  with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
  return mjx


def unsupported_message(model: mujoco.MjModel, problem: str, engine: str = "MJX") -> str:
  """Returns the error message for a model that an engine does not simulate."""
  return (
    f"{engine} cannot simulate the model {model_name(model)!r}: {problem.strip()}; remove it "
    "from the model or use MuJoCo's C engine (physics='mujoco')."
  )


def _static_differences(one: Any, other: Any) -> Iterator[str]:
  """Yields the names of the static fields in which two ``mjx.Model`` differ."""
  for field in dataclasses.fields(one):
    a, b = getattr(one, field.name), getattr(other, field.name)
    if dataclasses.is_dataclass(a):
      yield from (f"{field.name.strip('_')}.{name}" for name in _static_differences(a, b))
    elif not isinstance(a, jax.Array) and not np.array_equal(a, b):
      yield field.name


def _is_traced(model: Any) -> bool:
  """Returns whether a model is being traced, so that its values are unknown."""
  return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(model))


def _kind(value: Any) -> str:
  impl = getattr(getattr(value, "impl", None), "value", None)
  return type(value).__name__ if impl is None else f"one with impl={impl!r}"
