"""Splines against scipy, and shifted in time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import interpolate

from mbrl_jax.ops.spline import INTERPOLATIONS, make_spline

HORIZON, KNOTS = 13, 5
every_kind = pytest.mark.parametrize("kind", INTERPOLATIONS)


def random_knots(actions=2):
  return jax.random.normal(jax.random.key(0), (KNOTS, actions))


@every_kind
def test_weights_sum_to_one_at_any_phase(kind):
  spline = make_spline(HORIZON, KNOTS, kind)
  for phase in range(spline.rate[1]):
    np.testing.assert_allclose(spline.weights(phase).sum(axis=1), 1.0, rtol=1e-6)


def test_zero_order_holds_each_knot_equally_long():
  spline = make_spline(12, 4, "zero")
  knots = jnp.arange(4.0)[:, None]
  np.testing.assert_array_equal(spline.interpolate(knots, 0).ravel(), np.repeat(range(4), 3))


def test_zero_order_follows_integer_division_at_any_horizon_and_phase():
  """Compiled, for horizons whose division compilers replace by a reciprocal."""
  for horizon, knots in ((41, 2), (47, 3), (61, 7), (83, 4), (199, 6)):
    spline, phases = make_spline(horizon, knots, "zero"), np.arange(horizon)
    weights = np.asarray(jax.jit(jax.vmap(spline.weights))(phases))
    held = np.minimum((phases[None] * knots + phases[:, None]) // horizon, knots - 1)
    np.testing.assert_array_equal(weights.argmax(-1), held)
    np.testing.assert_array_equal(weights, np.eye(knots)[held])


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_a_plan_passes_through_its_knots_at_any_horizon_and_phase(kind):
  for horizon, knots in ((42, 3), (48, 4), (84, 5), (199, 7)):
    spline = make_spline(horizon, knots, kind)
    phases = np.arange(spline.rate[1])
    weights = np.asarray(jax.jit(jax.vmap(spline.weights))(phases))
    ticks = np.arange(horizon)[None] * spline.rate[0] + phases[:, None]
    at_knot = (ticks % spline.rate[1] == 0) & (ticks // spline.rate[1] < knots)
    expected = np.eye(knots)[ticks[at_knot] // spline.rate[1]]
    np.testing.assert_allclose(weights[at_knot], expected, atol=1e-5)


def test_zero_order_agrees_with_numpy_for_uneven_intervals():
  spline, knots = make_spline(HORIZON, KNOTS, "zero"), random_knots()
  times = np.arange(KNOTS) * HORIZON / KNOTS
  index = np.searchsorted(times, np.arange(HORIZON), side="right") - 1
  np.testing.assert_array_equal(spline.interpolate(knots, 0), knots[index])


def test_linear_agrees_with_numpy():
  spline, knots = make_spline(HORIZON, KNOTS, "linear"), random_knots(1)
  times = np.linspace(0, HORIZON - 1, KNOTS)
  expected = np.interp(np.arange(HORIZON), times, knots[:, 0])
  np.testing.assert_allclose(spline.interpolate(knots, 0)[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_cubic_agrees_with_scipys_hermite_of_the_same_slopes():
  spline, knots = make_spline(HORIZON, KNOTS, "cubic"), np.asarray(random_knots())
  padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
  slopes = (padded[2:] - padded[:-2]) / 2
  hermite = interpolate.CubicHermiteSpline(np.arange(KNOTS), knots, slopes)
  expected = hermite(np.linspace(0, KNOTS - 1, HORIZON))
  np.testing.assert_allclose(spline.interpolate(knots, 0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "cubic"])
def test_one_knot_per_step_is_the_plan(kind):
  knots = random_knots()
  spline = make_spline(KNOTS, KNOTS, kind)
  np.testing.assert_allclose(spline.interpolate(knots, 0), knots, atol=1e-6)


@every_kind
def test_the_shifted_plan_is_the_rest_of_the_old_one(kind):
  """Over several knot intervals; only the part after the last knot may differ."""
  spline, knots, phase = make_spline(HORIZON, KNOTS, kind), random_knots(), jnp.int32(0)
  drop = lambda rows, n: jnp.concatenate([rows[n:], jnp.repeat(rows[-1:], n, axis=0)])
  plan = spline.interpolate(knots, phase)
  for steps in (1, 1, 2, 3):
    knots, phase = spline.shift(drop, knots, phase, steps)
    later = spline.interpolate(knots, phase)
    # The linear extrapolation of a cubic changes at both ends.
    interval = spline.rate[1] // spline.rate[0]
    first, last = (interval, 2 * interval) if kind == "cubic" else (0, 1)
    same = slice(first, HORIZON - steps - last)
    np.testing.assert_allclose(later[same], plan[steps:][same], atol=1e-5)
    plan = later


@every_kind
def test_gather_inverts_interpolate(kind):
  spline, knots = make_spline(13, KNOTS, kind), random_knots()
  read = spline.gather(spline.interpolate(knots, 0), 0)
  np.testing.assert_allclose(read, knots, atol=1e-5)


@every_kind
def test_gather_and_interpolate_reproduce_a_ramp_at_any_phase(kind):
  """A ramp of slope one has an error of at most one interval, except for the held end."""
  spline = make_spline(HORIZON, KNOTS, kind)
  plan = jnp.arange(HORIZON, dtype=jnp.float32)[:, None]
  a, b = spline.rate
  for phase in range(b):
    again = spline.interpolate(spline.gather(plan, phase), phase)
    before_the_end = slice(HORIZON - b // a - 1)
    assert float(jnp.max(jnp.abs(again - plan)[before_the_end])) <= b / a


@pytest.mark.parametrize(
  "knots, kind, match",
  [(3, "quadratic", "interpolation='quadratic'"), (1, "linear", "knots=1"), (0, "zero", "=0"),
   (14, "cubic", "knots=14 must be 2 to horizon=13")],
)  # fmt: skip
def test_invalid_knots_raise(knots, kind, match):
  with pytest.raises(ValueError, match=match):
    make_spline(HORIZON, knots, kind)
