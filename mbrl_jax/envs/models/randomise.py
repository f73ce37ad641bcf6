"""Randomises the physical constants of a MuJoCo model.

``randomise`` makes a set of models for planning under model uncertainty, ``vary_task`` a task
that draws its model at each reset.

Each slice is the model with some constants multiplied by random factors. Physics stays
consistent: a body's inertia scales with its mass, both terms of a servo scale with its gain,
and MuJoCo recomputes what its compiler derives from masses and MJX uses:
``body_subtreemass`` (sensors of subtree velocity), ``body_invweight0``, ``dof_invweight0``
and ``tendon_invweight0`` (softness of contacts, limits and other constraints).

Not randomised: armature, stiffness, gear, friction loss of joints and tendons, sizes;
parameters of actuators other than gains, such as ranges, the resistance and friction of a DC
motor or the shape of a muscle; and ``actuator_acc0``, from which the compiler scales the
strength of a muscle with its load.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.mjx_models import mjx_model
from mbrl_jax.envs.task import Task
from mbrl_jax.ops import validate
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.types import Key

Range = tuple[float, float]

_SCALED = {
  "masses": ("body_mass", "body_inertia"),
  "friction": ("geom_friction", "pair_friction"),
  "gains": ("actuator_gainprm", "actuator_biasprm"),
  "damping": ("dof_damping", "dof_dampingpoly"),
}
RANGES = tuple(_SCALED)
"""The groups of constants that can be randomised."""
DEFAULT_COUNT = 8
"""Default number of models of ``vary_task``."""
_SETTINGS = ("count", "seed", *RANGES)
# Parameters that an actuator's force is proportional to, by type of gain and of bias.
_GAIN, _BIAS = mujoco.mjtGain, mujoco.mjtBias
_PROPORTIONAL = {
  "actuator_gainprm": {
    int(_GAIN.mjGAIN_FIXED): (0,),
    int(_GAIN.mjGAIN_AFFINE): (0, 1, 2),
    int(_GAIN.mjGAIN_MUSCLE): (2, 3),  # peak force, and scale that replaces a negative one
    int(_GAIN.mjGAIN_DCMOTOR): (1, 4, 5, 6),  # motor constant; kp, ki and kd of its controller
    int(_GAIN.mjGAIN_SO3): (0,),
    int(_GAIN.mjGAIN_PID): (0,),
  },
  "actuator_biasprm": {
    int(_BIAS.mjBIAS_NONE): (),
    int(_BIAS.mjBIAS_AFFINE): (0, 1, 2),
    int(_BIAS.mjBIAS_MUSCLE): (2, 3),
    int(_BIAS.mjBIAS_DCMOTOR): (),  # cogging and friction
    int(_BIAS.mjBIAS_SO3): (0, 1, 2),
  },
}
_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0")


class Randomised(NamedTuple):
  """Several models stacked into one.

  Attributes:
    params: an ``mjx.Model`` whose randomised fields have a leading axis of slices.
    axes: 0 for those fields and ``None`` for shared ones: ``Dynamics.params_axes``, or
      ``in_axes`` of ``jax.vmap``.
  """

  params: Any
  axes: Any


def randomise(
  model: mujoco.MjModel,
  key: Key,
  n: int,
  *,
  masses: Range | None = None,
  friction: Range | None = None,
  gains: Range | None = None,
  damping: Range | None = None,
) -> Randomised:
  """Draws ``n`` randomised models; runs on the host, outside of ``jit``.

  A range ``(low, high)`` bounds uniformly drawn factors; ``None`` does not randomise.

  Args:
    model: the model to vary; it is not changed.
    key: typed key. Models from another key have the same structure, so compiled functions
      can be reused for them.
    n: ``E``, the number of models.
    masses: one factor for the mass and inertia of each body.
    friction: one factor for all contacts of a slice, because MuJoCo uses the larger
      of two geoms' coefficients.
    gains: one factor for the force of each actuator; a servo keeps its set point. For a DC
      motor it scales the torque constant and the gains of its built-in controller.
    damping: one factor for each degree of freedom.

  Raises:
    ValueError: ``n`` below one, no range or an invalid one, ``gains`` with actuators by
      plugins or callbacks, a model that MJX does not support.

  Example:
    >>> import jax, mujoco
    >>> from mbrl_jax.envs import mjx_dynamics, randomise
    >>> model = mujoco.MjModel.from_xml_string(
    ...   "<mujoco><worldbody><body><joint/><geom size='.1'/></body></worldbody></mujoco>")
    >>> models = randomise(model, jax.random.key(0), 8, masses=(0.5, 2.0))
    >>> dynamics = mjx_dynamics(
    ...   model, reward=lambda obs, action, next_obs: -(next_obs**2).sum(),
    ...   slices=8, params_axes=models.axes)
    >>> models.params.body_mass.shape, models.params.dof_damping.shape
    ((8, 2), (1,))
  """
  ranges = {"masses": masses, "friction": friction, "gains": gains, "damping": damping}
  varied = draw_models(model, key, n, ranges)
  fields = [f for name in ranges if ranges[name] is not None for f in _SCALED[name]]
  fields += _DERIVED if masses else ()
  base = mjx_model(model)
  stacked = {
    field: jnp.asarray(np.stack([getattr(v, field) for v in varied]), jnp.float32)
    for field in fields
    if getattr(model, field).size
  }
  shared = jax.tree.map(lambda leaf: None, base)
  return Randomised(base.replace(**stacked), shared.replace(**dict.fromkeys(stacked, 0)))


def draw_models(
  model: mujoco.MjModel, key: Key, n: int, ranges: Mapping[str, Range | None]
) -> list[mujoco.MjModel]:
  """Draws the models that ``randomise`` stacks, for ``Task.vary`` and ``make_physics``.

  Args:
    model: see ``randomise``.
    key: see ``randomise``.
    n: see ``randomise``.
    ranges: keys are the names in ``RANGES``.

  Raises:
    ValueError: ``n`` below one, no range or an invalid one, ``gains`` with actuators by
      plugins or callbacks.
  """
  validate.positive(n=n)
  if not isinstance(model, mujoco.MjModel):
    raise ValueError(f"model must be a mujoco.MjModel, got {type(model).__name__}.")
  spans = {name: _check(name, span) for name, span in ranges.items() if span is not None}
  if not spans:
    raise ValueError(f"no range was given; give one of {', '.join(RANGES)}.")
  if "gains" in spans:
    _check_gains(model)
  factors = _draw(model, key, n, spans)
  return [_vary(model, {name: f[i] for name, f in factors.items()}) for i in range(n)]


def vary_task(task: Task, settings: Any) -> Task:
  """Returns a task that draws one of several randomised models at each reset.

  Args:
    task: a task on a MuJoCo model.
    settings: the number of models ``count`` (8), a ``seed`` (0), and ranges of factors as in
      ``randomise``: ``{"count": 16, "masses": (0.8, 1.2)}``.

  Raises:
    ValueError: an unknown or invalid setting, no range, or a task without a MuJoCo model.
  """
  if not isinstance(settings, Mapping):
    text = "must be a mapping, such as {'masses': (0.8, 1.2)}."
    raise validate.ArgumentError("randomise", settings, text)
  for name in settings:
    validate.known(name, _SETTINGS, group="randomise")
  count, seed = (settings.get(k, d) for k, d in (("count", DEFAULT_COUNT), ("seed", 0)))
  if isinstance(count, bool) or not isinstance(count, int) or count < 0:
    raise validate.ArgumentError("randomise.count", count, "must be a whole number.")
  validate.seeds(seed, argument="randomise.seed")
  if task.model is None:
    return task.vary(())  # raises
  ranges = {name: settings.get(name) for name in RANGES}
  with validate.prefixed("randomise"):
    validate.positive(count=count)
    models = draw_models(task.model, stream_key("models", seed), count, ranges)
  return task.vary(models)


def _check(name: str, span: Any) -> Range:
  """Returns ``span`` as a valid range of factors."""
  try:
    span = np.asarray(span, float)
  except (TypeError, ValueError) as error:
    raise validate.ArgumentError(name, span, "must be factors (low, high).") from error
  least = np.finfo(np.float32).tiny if name == "masses" else 0.0
  if span.shape != (2,) or not (least <= span[0] <= span[1] < np.inf):
    bound = "0 < low" if name == "masses" else "0 <= low"
    text = f"must be factors (low, high) with {bound} <= high, finite."
    raise validate.ArgumentError(name, span.tolist(), text)
  return float(span[0]), float(span[1])


def _check_gains(model: mujoco.MjModel) -> None:
  """Raises for actuators whose gain parameters are unknown."""
  known = (_PROPORTIONAL["actuator_gainprm"], _PROPORTIONAL["actuator_biasprm"])
  kinds = zip(model.actuator_gaintype, model.actuator_biastype, strict=True)
  for i, (gain, bias) in enumerate(kinds):
    if model.actuator_plugin[i] >= 0 or gain not in known[0] or bias not in known[1]:
      raise validate.ArgumentError(
        "gains",
        validate.NO_VALUE,
        f": the force of the actuator {model.actuator(i).name or str(i)!r} is computed by a "
        "plugin or a callback, so its gain parameters are unknown; randomise other constants, "
        "or pass your own models to Task.vary.",
      )


def _draw(
  model: mujoco.MjModel, key: Key, n: int, ranges: dict[str, Range]
) -> dict[str, np.ndarray]:
  """Draws factors ``[n, count]`` for each range, from separate keys."""
  counts = {"masses": model.nbody, "friction": 1, "gains": model.nactuator, "damping": model.nv}
  factors = {}
  for name, range_key in zip(_SCALED, jax.random.split(key, len(_SCALED)), strict=True):
    if name in ranges:
      low, high = ranges[name]
      shape = (n, counts[name])
      drawn = jax.random.uniform(range_key, shape, jnp.float32, low, high)
      factors[name] = np.asarray(drawn, np.float64)
  return factors


def _vary(model: mujoco.MjModel, factors: dict[str, np.ndarray]) -> mujoco.MjModel:
  """Returns a copy of ``model`` with its constants scaled."""
  model = copy.copy(model)
  for name, factor in factors.items():
    for field in _SCALED[name]:
      values = getattr(model, field)
      if name == "gains":
        values[:] = np.where(_is_gain(model, field), factor[:, None], 1.0) * values
      elif values.size:
        values[:] = (values.T * factor).T
  if "friction" in factors:
    model.opt.o_friction = model.opt.o_friction * factors["friction"]
  if "masses" in factors:
    acc0 = model.actuator_acc0.copy()
    mujoco.mj_setConst(model, mujoco.MjData(model))
    model.actuator_acc0[:] = acc0
  return model


def _is_gain(model: mujoco.MjModel, field: str) -> np.ndarray:
  """Returns which parameters of gain or bias the force is proportional to ``[nu, 10]``."""
  kinds = getattr(model, field.replace("prm", "type"))
  scaled = np.zeros(getattr(model, field).shape, bool)
  for row, kind in zip(scaled, kinds, strict=True):
    row[list(_PROPORTIONAL[field][int(kind)])] = True
  return scaled
