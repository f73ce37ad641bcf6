"""Errors of a rollout for dynamics, params and plans that violate their contract."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import cem, make_evaluate, make_planner, make_predict
from mbrl_jax.types import PARTICLES, Dynamics

KEY = jax.random.key(0)
PLANS = jnp.zeros((3, 4, 1))
STATE = {"x": jnp.zeros(2), "t": jnp.zeros((), jnp.int32)}
NEVER = jnp.array(False)


class Pair(NamedTuple):
  x: jax.Array
  t: jax.Array


def valid_step(params, state, action, key):
  return {"x": state["x"] + action, "t": state["t"] + 1}, state["x"].sum(), NEVER


def with_output(change):
  """Returns dynamics whose step returns ``change(next_state, reward, terminated)``."""
  return Dynamics(lambda *args: change(*valid_step(*args)))


def evaluated(dynamics, params=None, state=STATE, plans=PLANS, **options):
  return jax.eval_shape(make_evaluate(dynamics, **options), params, state, plans, KEY)


BAD_STEPS = {
  "two values": (lambda s, r, t: (s, r), "returned 2 values, expected three"),
  "no tuple": (lambda s, r, t: s["x"], "returned one .*Tracer, expected three"),
  "leaf lacks": (
    lambda s, r, t: ({"x": s["x"]}, r, t),
    r"next state lacks the leaf \['t'\]; .* leaves \[.*'x'",
  ),
  "leaf too many": (lambda s, r, t: (s | {"y": r}, r, t), r"has, unlike state, .*\['y'\]"),
  "container": (lambda s, r, t: (Pair(s["x"], s["t"]), r, t), r"lacks the leaf \['t'\]"),
  "shape": (
    lambda s, r, t: (s | {"x": jnp.zeros(3)}, r, t),
    r"next state at \['x'\] is float32\[3\], but state has float32\[2\]",
  ),
  "dtype": (
    lambda s, r, t: (s | {"t": 0.1 * s["t"]}, r, t),
    r"next state at \['t'\] is float32\[\], but state has int32\[\]",
  ),
  "reward [1]": (
    lambda s, r, t: (s, r[None], t),
    r"reward is float32\[1\].* one float .*\[0\]",
  ),
  "reward [2]": (lambda s, r, t: (s, s["x"], t), r"reward is float32\[2\].*\.sum\(\)"),
  "reward int": (
    lambda s, r, t: (s, s["t"], t),
    r"reward is int32\[\].*astype\(jnp\.float32\)",
  ),
  "reward tree": (lambda s, r, t: (s, (r, r), t), "reward is the structure .*one array"),
  "no reward": (lambda s, r, t: (s, None, t), "reward is the structure"),
  "terminated float": (lambda s, r, t: (s, r, r), r"terminated is float32\[\].*astype\(bool\)"),
  "terminated [2]": (lambda s, r, t: (s, r, s["x"] > 0), r"terminated is bool\[2\]"),
  "swapped": (lambda s, r, t: (s, t, r), r"reward is bool\[\]"),
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("change, message", BAD_STEPS.values(), ids=BAD_STEPS)
def test_invalid_step_is_named_with_the_expected_output(change, message, shuffle):
  dynamics = with_output(change)._replace(shuffle=shuffle)
  with pytest.raises(ValueError, match=message):
    evaluated(dynamics)
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(make_predict(dynamics), None, STATE, PLANS[0], KEY)


def test_planner_raises_at_its_first_trace():
  evaluate = make_evaluate(with_output(lambda s, r, t: (s, r, r)))
  bounds = {"action_low": [-1.0], "action_high": [1.0]}
  planner = make_planner(cem(4, 2), evaluate, horizon=3, **bounds)
  with pytest.raises(ValueError, match="terminated is float32"):
    jax.jit(planner.plan).lower(None, STATE, planner.init(), KEY)


def test_containers_must_match():
  step = lambda p, s, a, k: (list(s), s[0], NEVER)
  with pytest.raises(ValueError, match="return the same containers"):
    evaluated(Dynamics(step), state=(jnp.zeros(()), jnp.zeros(())))


def test_unusual_but_valid_steps_pass():
  assert evaluated(Dynamics(valid_step)).shape == (3,)
  # Python numbers, keys inside the state, collectives over particles.
  assert evaluated(with_output(lambda s, r, t: (s, 1.0, False))).dtype == jnp.float32
  keyed = lambda p, s, a, k: (s, jax.random.normal(s), NEVER)
  assert evaluated(Dynamics(keyed), state=KEY).shape == (3,)
  pooled = lambda p, s, a, k: (jax.lax.pmean(s, PARTICLES), s, NEVER)
  assert evaluated(Dynamics(pooled), state=jnp.float32(1), particles=4).shape == (3,)


@pytest.mark.parametrize(
  "axes, params, message",
  [
    (0, jnp.zeros((3, 2)), r"params has shape \[3, 2\].* axis 0 .* of size 2"),
    (0, {"w": jnp.zeros(2), "b": jnp.zeros(())}, r"params\['b'\] has shape \[\]"),
    ({"w": 1, "b": None}, {"w": jnp.zeros((2, 3)), "b": 0.0}, r"params\['w'\].* axis 1 "),
    ({"w": 0}, {"v": jnp.zeros(2)}, "params_axes=.* does not fit params of structure"),
    ((0, 0), [jnp.zeros(2)] * 3, "does not fit params"),
  ],
)
@pytest.mark.parametrize("map_slices", [True, False])
def test_params_need_the_declared_slice_axis(axes, params, message, map_slices):
  dynamics = Dynamics(valid_step, slices=2, params_axes=axes)
  with pytest.raises(ValueError, match=message):
    evaluated(dynamics, params, map_slices=map_slices)


def test_params_may_contain_none_and_shared_leaves():
  params = {"w": jnp.array([1.0, 3.0]), "b": 0.5, "unused": None}
  step = lambda p, s, a, k: (s, p["w"] + p["b"], NEVER)
  dynamics = Dynamics(step, slices=2, params_axes={"w": 0, "b": None, "unused": 0})
  for map_slices in (True, False):
    evaluate = make_evaluate(dynamics, map_slices=map_slices)
    np.testing.assert_allclose(evaluate(params, jnp.float32(0), PLANS, KEY), [10.0] * 3)


@pytest.mark.parametrize(
  "plans, message",
  [
    (jnp.zeros((4, 1)), r"\[N, H, A\], got shape \(4, 1\)"),
    (jnp.zeros((3, 4, 1), jnp.int32), r"plans must be floats, got int32: use plans\.astype"),
    (np.zeros((3, 4, 1), bool), "plans must be floats, got bool"),
  ],
)
def test_plans_must_be_floats_with_three_axes(plans, message):
  with pytest.raises(ValueError, match=message):
    evaluated(Dynamics(valid_step), plans=plans)


def test_weak_types_do_not_retrace_and_are_not_returned():
  traces = []

  def step(params, state, action, key):
    traces.append(1)
    return state + action[0], 1.0, False

  def count(state):
    traces.clear()
    out = jax.eval_shape(make_evaluate(Dynamics(step)), None, state, PLANS, KEY)
    assert out.dtype == jnp.float32 and not out.weak_type
    return len(traces)

  assert jnp.asarray(0.0).weak_type
  assert count(jnp.asarray(0.0)) == count(0.0) == count(jnp.float32(0)) == 1


def test_checks_add_nothing_to_the_program(monkeypatch):
  def program():
    evaluate = make_evaluate(Dynamics(valid_step, slices=2, params_axes=0), particles=4)
    return str(jax.make_jaxpr(evaluate)(jnp.zeros(2), STATE, PLANS, KEY))

  checked = program()
  module = "mbrl_jax.planners.rollout."
  monkeypatch.setattr(module + "check_step", lambda state, output: output)
  monkeypatch.setattr(module + "check_params", lambda *args: None)
  monkeypatch.setattr(module + "check_plans", lambda plans: None)
  assert checked == program()
