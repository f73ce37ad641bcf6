"""Conversion between Gymnasium's spaces and arrays; needs no Gymnasium."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gymnasium import Box, Dict, Discrete

from mbrl_jax.envs.adapters.host import spaces
from mbrl_jax.ops.env_failure import ProtocolError

FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
INTEGERS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)


def points(actions, rng):
  """Yields actions at, between, around and far beyond the bounds, and NaN."""
  low, high = np.float64(actions.low), np.float64(actions.high)
  yield from (actions.low, actions.high)
  yield from np.float32(rng.uniform(low, high, (50, len(low))))
  yield np.nextafter(actions.high, np.float32(np.inf))
  yield np.nextafter(actions.low, np.float32(-np.inf))
  for far in (3e38, -3e38, np.inf, -np.inf, np.nan, 1e-45, 0.0):
    yield np.full(len(low), far, np.float32)


def float_boxes():
  sides = [(-1, 1), (-0.1, 0.1), (-0.3, 0.7), (1e-3, 1.1), (0.1, 0.1), (-2.4, 6.3), (0, 1e-8)]
  sides += [(-1e-40, 1e-40), (-1e-310, 1e-310), (-6e4, 6e4), (-1e30, 1e30), (-3e38, 3e38)]
  for kind in FLOATS:
    with np.errstate(over="ignore"):
      boxes = [Box([low] * 2, [high] * 2, kind) for low, high in sides]
    yield from (box for box in boxes if np.isfinite(box.high).all())
  yield Box(np.zeros((2, 1)), np.ones((2, 1)), np.float64)
  yield Box(-0.1, 0.1, np.float64)


def integer_boxes():
  for kind in INTEGERS:
    yield Box([0, 1, 3], [1, 100, 7], kind)
    if np.issubdtype(kind, np.signedinteger):
      yield Box([[-2], [-100]], [[2], [-98]], kind)
  yield Box([0, 0], [255, 255], np.uint8)
  yield Box([-(2**24)], [2**24], np.int64)
  yield Box([False], [True], bool)


@pytest.mark.parametrize("boxes", [float_boxes, integer_boxes])
def test_every_action_is_an_element_of_its_box(boxes):
  rng = np.random.default_rng(0)
  for box in boxes():
    actions = spaces.action_box(box, "one_hot")
    for point in points(actions, rng):
      native = actions.decode(point)
      assert box.contains(native), (box.low, box.dtype, point)
      inside = ((np.ravel(box.low) <= point) & (point <= np.ravel(box.high))).all()
      if inside and box.dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(np.ravel(native), point)


@pytest.mark.parametrize("kind", INTEGERS)
def test_integer_actions_are_rounded(kind):
  low, high = (-2, 2) if np.issubdtype(kind, np.signedinteger) else (0, 4)
  actions = spaces.action_box(Box([low], [high], kind), "one_hot")
  drawn = np.random.default_rng(0).uniform(low, high, 2000).astype(np.float32)
  decoded = [actions.decode(x[None])[0] for x in drawn]
  np.testing.assert_array_equal(decoded, np.rint(drawn))
  shares = np.bincount(np.array(decoded, int) - low) / len(decoded)
  np.testing.assert_allclose(shares, [0.125, 0.25, 0.25, 0.25, 0.125], atol=0.03)


def test_every_byte_can_be_reached():
  actions = spaces.action_box(Box([0], [255], np.uint8), "one_hot")
  for near in (-0.4, 0.0, 0.4):
    decoded = [int(actions.decode(np.float32([i + near]))[0]) for i in range(256)]
    assert decoded == list(range(256))


def test_discrete_actions_are_elements_for_all_inputs():
  for discrete in ("one_hot", "index"):
    actions = spaces.action_box(Discrete(5, start=-3), discrete)
    picked = {actions.decode(point) for point in points(actions, np.random.default_rng(0))}
    assert picked == {-3, -2, -1, 0, 1}


@pytest.mark.parametrize(
  ("space", "message"),
  [
    (Box([-np.inf], [1]), "finite bounds.*action_low=-1, action_high=1"),
    (Box([-1e300], [1e300], np.float64), "finite bounds"),
    (
      Box([0], [2**24 + 1], np.int64),
      "integers beyond 16,777,216.*action_low=",
    ),
    (Box([-(2**63)], [2**63 - 1], np.int64), "integers beyond 16,777,216"),
    (Box([-(2**63)], [0], np.int64), "integers beyond 16,777,216"),
    (Box(np.zeros(0), np.ones(0)), "must hold at least one number"),
    (Discrete(2**24 + 2), "integers beyond 16,777,216.*wrap the environment"),
    (None, "must be a Box or Discrete, got None"),
  ],
)
def test_actions_that_float32_cannot_represent_are_refused(space, message):
  with pytest.raises(ValueError, match=message):
    spaces.action_box(space, "index")


def test_narrower_bounds_are_accepted():
  endless = Box([-np.inf, -5], [np.inf, 5])
  actions = spaces.action_box(endless, "one_hot", -1, [2, 3])
  assert (actions.low.tolist(), actions.high.tolist()) == ([-1, -1], [2, 3])
  np.testing.assert_array_equal(actions.decode(np.float32([9, -9])), [2, -1])
  huge = spaces.action_box(Box([-(2**63)], [2**63 - 1], np.int64), "one_hot", -4, 4)
  assert huge.decode(np.float32([3.7])).tolist() == [4]


def test_narrower_bounds_are_kept_exactly():
  tenth = spaces.action_box(Box([-1], [1], np.float64), "one_hot", -0.1, 0.1)
  reached = [tenth.decode(bound).item() for bound in (tenth.low, tenth.high)]
  assert reached == [-0.1, 0.1], "as float32 they are beyond"
  whole = spaces.action_box(Box([0, 0], [9, 9], np.int64), "one_hot", 0.4, [2.6, 3])
  assert (whole.low.tolist(), whole.high.tolist()) == ([1, 1], [2, 3])
  np.testing.assert_array_equal(whole.decode(np.float32([0, 9])), [1, 3])
  with pytest.raises(ValueError, match=r"\[0.2\] must be .*\[0.4\] .*with an integer between"):
    spaces.action_box(Box([0], [9], np.int64), "one_hot", 0.2, 0.4)


@pytest.mark.parametrize(
  ("low", "high", "message"),
  [
    (2, 1, r"action_low=\[2.0, 2.0\] must be below action_high=\[1.0, 1.0\]"),
    (-9, 1, "both within"),
    (np.nan, 1, "both within"),
    ([1, 2, 3], 4, r"action_low=.* must be one number or an array of shape \[2\]"),
    (0, "high", "action_high='high' must be one number"),
  ],
)
def test_invalid_bounds_are_refused(low, high, message):
  with pytest.raises(ValueError, match=message):
    spaces.action_box(Box([-3, -3], [3, 3]), "one_hot", low, high)
  with pytest.raises(ValueError, match="are for a Box"):
    spaces.action_box(Discrete(3), "one_hot", low, high)


# --------------------------------------------------------------------------
# Observations
# --------------------------------------------------------------------------


def test_one_hot_encoding_takes_linear_memory():
  space = Dict(here=Discrete(10_000, start=5))
  tracemalloc.start()
  flat = spaces.flatten(space, {"here": np.array([7])})
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 10 * flat.nbytes
  assert spaces.observation_size(space) == flat.size == 10_000 and np.flatnonzero(
    flat
  ).tolist() == [2]


def test_harmless_deviations_are_converted():
  box = Box([0, 0, 0], [1, 1, 1])
  for value in ([1, 0, 1], np.array([[1], [0], [1]], np.int8), np.array([[True, False, True]])):
    flat = spaces.flatten(box, value)
    assert flat.dtype == np.float32 and flat.tolist() == [1, 0, 1]
  pair = SimpleNamespace(spaces=(Discrete(2), Box(0.0, 1.0)))
  assert spaces.flatten(pair, [np.array([1.0]), 0.5]).tolist() == [0, 1, 0.5]


@pytest.mark.parametrize(
  ("space", "value", "found", "expected"),
  [
    (Box([0] * 2, [1] * 2), np.zeros(3), "shape [3] (float64)", "numbers of shape [2]"),
    (Box(np.zeros((2, 3)), np.ones((2, 3))), np.zeros((3, 2)), "shape [3, 2]", "[2, 3]"),
    (Box([0] * 2, [1] * 2), None, "None as observation", "numbers of shape [2]"),
    (Box([0] * 2, [1] * 2), [[1], [2, 3]], "a list of 2", "numbers of shape [2]"),
    (Box([0], [1]), "a", "'a' as observation", "numbers of shape [1]"),
    (Box([0], [1]), 1j, "1j as observation", "numbers of shape [1]"),
    (Discrete(3, start=1), 0, "0 as observation", "an integer from 1 to 3"),
    (Discrete(3), 3, "3 as observation", "an integer from 0 to 2"),
    (Discrete(3), 1.5, "1.5 as observation", "an integer from 0 to 2"),
    (Dict(a=Discrete(2)), {"b": 1}, "{'b': 1}", "a dictionary of 'a'"),
    (Dict(a=Discrete(2)), {"a": [1, 2]}, "as observation['a']", "numbers of shape []"),
    (SimpleNamespace(spaces=(Discrete(2),)), (1, 1), "a tuple of 2", "a tuple of 1"),
  ],
)
def test_observations_of_another_space_are_reported(space, value, found, expected):
  with pytest.raises(ProtocolError) as caught:
    spaces.flatten(space, value)
  assert found in caught.value.args[0] and expected in caught.value.args[1]


def test_observations_without_a_fixed_shape_are_refused():
  text = SimpleNamespace(shape=None)
  for space in (None, text, Dict(a=Discrete(2), b=text), type("OneOf", (), {"spaces": ()})()):
    with pytest.raises(ValueError, match="the observation space must be made of Box, Discrete"):
      spaces.observation_size(space)
