import pytest

from mbrl_jax.ops import validate


def test_choice_names_value_nearest_and_valid():
  with pytest.raises(
    ValueError, match=r"env='cartpol' is not known[.] Did you mean 'cartpole'"
  ):
    validate.choice("env", "cartpol", ["pendulum", "cartpole"])
  with pytest.raises(ValueError, match="Valid choices: 'pendulum', 'cartpole'"):
    validate.choice("env", "zzz", ["pendulum", "cartpole"])
  with pytest.raises(ValueError, match="choices: 'walker2d', 'walker', 'ant', 'hopper'"):
    validate.choice("env", "walker2", ["ant", "walker", "hopper", "walker2d"])
  assert validate.choice("env", "cartpole", ["cartpole"]) == "cartpole"


def test_bounds_name_the_argument():
  with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got 2"):
    validate.between(0, 1, alpha=2)
  with pytest.raises(ValueError, match="samples must be positive, got nan"):
    validate.positive(samples=float("nan"))
