"""Plans from a few knots: zero-order, linear and cubic splines that move on in time.

A plan of ``H`` control steps is given by ``K`` knots that are evenly spaced in time. Control
step ``h`` lies at ``(h a + phase) / b`` knots, with ``a / b`` knots a control step: ``K / H``
for a spline of order zero, each knot of which holds for ``H / K`` steps, and
``(K - 1) / (H - 1)`` otherwise, where the first and last knot are the first and last action.

Time passes by the ``phase``, an integer below ``b``: the knots stay what they are until a
whole spacing has passed, then the first one is dropped. What remains of a plan is therefore
exactly the old plan, where resampling the knots at every control step would blur it (or, of
order zero, never move it at all). After the last knot a plan holds its value.

The cubic is the Catmull-Rom spline, continued straight at both ends; it passes through its
knots, moves only with the four nearest, and may overshoot them. Its slope at the first knot
changes when the knot before is dropped, so within the first spacing it keeps the old plan
only nearly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import ArgumentError, choice
from mbrl_jax.types import Array

INTERPOLATIONS = ("zero", "linear", "cubic")


@dataclass(frozen=True)
class Spline:
  """How ``K`` knots make a plan of ``H`` control steps; see ``make_spline``.

  Attributes:
    horizon: ``H``.
    knots: ``K``.
    interpolation: ``"zero"``, ``"linear"`` or ``"cubic"``.
  """

  horizon: int
  knots: int
  interpolation: str

  @property
  def pace(self) -> tuple[int, int]:
    """``(a, b)``: a control step is ``a / b`` knots long."""
    if self.interpolation == "zero":
      return self.knots, self.horizon
    return self.knots - 1, self.horizon - 1

  def weights(self, phase: Array) -> Array:
    """Returns the matrix ``[H, K]`` that makes the knots a plan; its rows sum to one."""
    a, b = self.pace
    ticks = jnp.arange(self.horizon, dtype=jnp.int32) * a + phase
    if self.interpolation == "zero":
      # In integers: a quotient just below a whole number would hold the knot before.
      held = jnp.minimum(ticks // b, self.knots - 1)
      return jax.nn.one_hot(held, self.knots, dtype=jnp.float32)
    time = jnp.minimum(ticks.astype(jnp.float32) / b, self.knots - 1)[:, None]
    places = jnp.arange(-1, self.knots + 1, dtype=jnp.float32)
    if self.interpolation == "linear":
      return jnp.maximum(1.0 - jnp.abs(time - places[1:-1]), 0.0)
    # Two more knots, one before and one after, on the straight line through the last two.
    outer = _catmull_rom(time - places)
    before, inner, after = outer[:, :1], outer[:, 1:-1], outer[:, -1:]
    inner = inner.at[:, :2].add(before * np.float32([2.0, -1.0]))
    return inner.at[:, -2:].add(after * np.float32([-1.0, 2.0]))

  def spread(self, knots: Array, phase: Array) -> Array:
    """Makes knots ``[..., K, A]`` plans ``[..., H, A]``."""
    # Actions must not be rounded to the few bits that accelerators multiply with by default.
    precision = jax.lax.Precision.HIGHEST
    return jnp.einsum("hk,...ka->...ha", self.weights(phase), knots, precision=precision)

  def gather(self, plans: Array, phase: Array) -> Array:
    """Returns the knots ``[..., K, A]`` that plans ``[..., H, A]`` pass nearest to."""
    a, b = self.pace
    row = -((phase - jnp.arange(self.knots) * b) // a)  # the first not before the knot
    return jnp.take(plans, jnp.clip(row, 0, self.horizon - 1), axis=-2)

  def shift(
    self, drop: Callable[[Any, int], Any], state: Any, phase: Array, steps: int
  ) -> tuple[Any, Array]:
    """Lets ``steps`` (static) control steps pass.

    Args:
      drop: ``(state, n) -> state`` without its first ``n`` (static, also 0) knots.
      state: whatever ``drop`` takes.
      phase: ``[]``.
      steps: control steps.

    Returns:
      The state and the new phase.
    """
    a, b = self.pace
    whole, rest = divmod(steps * a, b)
    phase = phase + rest
    one_more = lambda state: drop(state, whole + 1)
    state = jax.lax.cond(phase >= b, one_more, lambda state: drop(state, whole), state)
    return state, phase % b


@dataclass(frozen=True)
class KnotRows:
  """A plan that is given action by action: what ``Spline`` is without knots.

  Attributes:
    knots: ``H``.
  """

  knots: int

  def spread(self, knots: Array, phase: Array) -> Array:
    """Returns the plans as they are."""
    return knots

  def gather(self, plans: Array, phase: Array) -> Array:
    """Returns the plans as they are."""
    return plans

  def shift(
    self, drop: Callable[[Any, int], Any], state: Any, phase: Array, steps: int
  ) -> tuple[Any, Array]:
    """Drops ``steps`` rows."""
    return drop(state, steps), phase


def make_spline(horizon: int, knots: int | None, interpolation: str) -> Spline | KnotRows:
  """Makes the spline of ``knots`` knots over ``horizon`` control steps.

  ``knots=None`` has one for every control step and interpolates nothing.

  Raises:
    ValueError: an unknown interpolation, fewer than two knots (one of order zero) or more
      than control steps.

  Example:
    >>> import jax.numpy as jnp
    >>> spline = make_spline(horizon=5, knots=3, interpolation="linear")
    >>> spline.spread(jnp.asarray([[0.0], [2.0], [4.0]]), 0).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
  """
  choice("interpolation", interpolation, INTERPOLATIONS)
  if knots is None:
    return KnotRows(horizon)
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
  """Weighs a knot at a distance, in knots; Keys 1981 with ``a = -1/2``."""
  x = jnp.abs(distance)
  near = (1.5 * x - 2.5) * x * x + 1.0
  far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
  return jnp.where(x < 1, near, jnp.where(x < 2, far, 0.0))
