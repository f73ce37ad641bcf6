"""Zero-order, linear and cubic splines that parametrise plans by a few knots.

A plan of ``H`` control steps is interpolated from ``K`` knots evenly spaced in time. Control
step ``h`` lies at ``(h a + phase) / b`` knots, with ``a / b`` knots per control step:
``K / H`` for a zero-order spline, each knot of which holds for ``H / K`` steps, and
``(K - 1) / (H - 1)`` otherwise, where the first and last knot are the first and last action.

``phase``, an integer below ``b``, counts time: the knots stay unchanged until a whole knot
interval has passed, then the first one is dropped. The rest of a plan is therefore exactly
the old plan, where resampling the knots at every control step would smooth it (or, with order
zero, never shift it at all). After the last knot a plan holds its value.

The cubic is the Catmull-Rom spline, extrapolated linearly at both ends; it passes through its
knots, depends on the nearest four only, and may overshoot them. Its slope at the first knot
changes when the knot before it is dropped, so within the first interval it matches the old
plan only approximately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.matmul import einsum
from mbrl_jax.ops.validate import ArgumentError, choice
from mbrl_jax.types import Array

INTERPOLATIONS = ("zero", "linear", "cubic")


@dataclass(frozen=True)
class Spline:
  """Interpolates ``K`` knots to a plan of ``H`` control steps; see ``make_spline``.

  Attributes:
    horizon: ``H``.
    knots: ``K``.
    interpolation: ``"zero"``, ``"linear"`` or ``"cubic"``.
  """

  horizon: int
  knots: int
  interpolation: str

  @property
  def rate(self) -> tuple[int, int]:
    """``(a, b)``: ``a / b`` knots per control step."""
    if self.interpolation == "zero":
      return self.knots, self.horizon
    return self.knots - 1, self.horizon - 1

  def weights(self, phase: Array) -> Array:
    """Returns the interpolation matrix ``[H, K]``, from knots to plan; rows sum to one."""
    a, b = self.rate
    ticks = jnp.arange(self.horizon, dtype=jnp.int32) * a + phase
    if self.interpolation == "zero":
      # In integers: a quotient rounded below a whole number would hold the previous knot.
      held = jnp.minimum(ticks // b, self.knots - 1)
      return jax.nn.one_hot(held, self.knots, dtype=jnp.float32)
    time = jnp.minimum(ticks.astype(jnp.float32) / b, self.knots - 1)[:, None]
    positions = jnp.arange(-1, self.knots + 1, dtype=jnp.float32)
    if self.interpolation == "linear":
      return jnp.maximum(1.0 - jnp.abs(time - positions[1:-1]), 0.0)
    # Two virtual knots, one before and one after, extrapolate linearly.
    outer = _catmull_rom(time - positions)
    before, inner, after = outer[:, :1], outer[:, 1:-1], outer[:, -1:]
    inner = inner.at[:, :2].add(before * np.array([2.0, -1.0], np.float32))
    return inner.at[:, -2:].add(after * np.array([-1.0, 2.0], np.float32))

  def interpolate(self, knots: Array, phase: Array) -> Array:
    """Interpolates knots ``[..., K, A]`` to plans ``[..., H, A]``."""
    return einsum("hk,...ka->...ha", self.weights(phase), knots)

  def gather(self, plans: Array, phase: Array) -> Array:
    """Reads knots ``[..., K, A]`` off plans ``[..., H, A]``, at the nearest control steps."""
    a, b = self.rate
    row = -((phase - jnp.arange(self.knots) * b) // a)  # first control step not before the knot
    return jnp.take(plans, jnp.clip(row, 0, self.horizon - 1), axis=-2)

  def shift(
    self, drop: Callable[[Any, int], Any], state: Any, phase: Array, steps: int
  ) -> tuple[Any, Array]:
    """Advances time by ``steps`` (static) control steps.

    Args:
      drop: ``(state, n) -> state`` without its first ``n`` (static, also 0) knots.
      state: argument of ``drop``.
      phase: ``[]``.
      steps: control steps.

    Returns:
      The state and the new phase.
    """
    a, b = self.rate
    whole, rest = divmod(steps * a, b)
    phase = phase + rest
    one_more = lambda state: drop(state, whole + 1)
    state = jax.lax.cond(phase >= b, one_more, lambda state: drop(state, whole), state)
    return state, phase % b


@dataclass(frozen=True)
class IdentitySpline:
  """Stands in for ``Spline`` if there is one knot per control step.

  Attributes:
    knots: ``H``.
  """

  knots: int

  def interpolate(self, knots: Array, phase: Array) -> Array:
    """Returns the knots unchanged."""
    return knots

  def gather(self, plans: Array, phase: Array) -> Array:
    """Returns the plans unchanged."""
    return plans

  def shift(
    self, drop: Callable[[Any, int], Any], state: Any, phase: Array, steps: int
  ) -> tuple[Any, Array]:
    """Drops the first ``steps`` rows."""
    return drop(state, steps), phase


def make_spline(horizon: int, knots: int | None, interpolation: str) -> Spline | IdentitySpline:
  """Makes the spline of ``knots`` knots over ``horizon`` control steps.

  ``knots=None`` has one knot per control step and does not interpolate.

  Raises:
    ValueError: an unknown interpolation, fewer than two knots (one for order zero), or more
      knots than control steps.

  Example:
    >>> import jax.numpy as jnp
    >>> spline = make_spline(horizon=5, knots=3, interpolation="linear")
    >>> spline.interpolate(jnp.asarray([[0.0], [2.0], [4.0]]), 0).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
  """
  choice("interpolation", interpolation, INTERPOLATIONS)
  if knots is None:
    return IdentitySpline(horizon)
  least = 1 if interpolation == "zero" else 2
  if not least <= knots <= horizon:
    raise ArgumentError(
      "knots",
      knots,
      f"must be {least} to {{}} for {interpolation!r} interpolation.",
      ("horizon", horizon),
    )
  return Spline(horizon, knots, interpolation)


def _catmull_rom(distance: Array) -> Array:
  """Returns the weight of a knot by its distance in knots; Keys 1981 with ``a = -1/2``."""
  x = jnp.abs(distance)
  near = (1.5 * x - 2.5) * x * x + 1.0
  far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
  return jnp.where(x < 1, near, jnp.where(x < 2, far, 0.0))
