"""Argument errors: their text, renaming, and the range of seeds."""

import pickle

import jax
import numpy as np
import pytest

from experiments import random_rollout
from mbrl_jax import check_env, make_env
from mbrl_jax.ops import validate
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training import loop


def test_choice_names_value_suggestion_and_valid_choices():
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
  with pytest.raises(ValueError, match=r"^alpha=2 must lie between 0 and 1.$"):
    validate.between(0, 1, alpha=2)
  with pytest.raises(ValueError, match=r"^samples=nan must be positive.$"):
    validate.positive(samples=float("nan"))
  with pytest.raises(ValueError, match=r"^hidden=\(64, 0\) must be positive.$"):
    validate.positive(hidden=(64, 0))
  with pytest.raises(ValueError, match=r"^latency=-1 must be at least 0.$"):
    validate.between(0, float("inf"), latency=-1)
  with pytest.raises(ValueError, match=r"^task.mases is not known. Did you mean 'masses'"):
    validate.known("mases", ["masses"], group="task")
  validate.known("masses", ["masses"])


def test_prefixed_renames_every_argument():
  error = ArgumentError("elites", 9, "exceed {}.", ("samples", 5))
  text = r"^a.b.elites=9 exceed a.b.samples=5.$"
  with (
    pytest.raises(ArgumentError, match=text) as caught,
    validate.prefixed("a"),
    validate.prefixed("b"),
  ):
    raise error
  assert (caught.value.argument, caught.value.value) == ("a.b.elites", 9)
  assert caught.value.others == (("a.b.samples", 5),)
  assert str(error) == "elites=9 exceed samples=5."


@pytest.mark.parametrize(
  ("error", "text"),
  [
    (ArgumentError("a", {}, "is {} or {}.", ("b", "{}")), "a={} is b='{}' or {}."),
    (ArgumentError("a", "{}", "is {}."), "a='{}' is {}."),
    (ArgumentError("a", 1, ": there is none."), "a=1: there is none."),
    (ArgumentError("a", None, "is none."), "a=None is none."),
    (ArgumentError("a", validate.NO_VALUE, "is missing."), "a is missing."),
  ],
)
def test_errors_survive_pickling_and_renaming(error, text):
  back = pickle.loads(pickle.dumps(error))
  assert str(error) == str(back) == str(pickle.loads(pickle.dumps(back.renamed(str)))) == text
  assert (back.argument, back.value, back.valid) == (error.argument, error.value, error.valid)


def test_seeds_must_give_distinct_keys():
  """JAX drops the bits above the 32nd."""
  last = validate.LARGEST_SEED
  np.testing.assert_array_equal(
    *(jax.random.key_data(jax.random.key(s)) for s in (0, last + 1))
  )
  for first, count in ((0, 1), (last, 1), (last - 2, 3), (np.int64(7), 1)):
    validate.seeds(first, count)
  for first, count in ((last + 1, 1), (last, 2), (-1, 1), (0.0, 1), (True, 1), ("1", 1)):
    with pytest.raises(ValueError, match="a whole number from 0 to 4294967295"):
      validate.seeds(first, count)


@pytest.mark.parametrize("seed", [2**32, 2**63, -1])
def test_invalid_seeds_raise_in_every_entry_point(seed, tmp_path):
  env = make_env("pendulum")
  folder = RunFolder(tmp_path)
  for call in (
    lambda: check_env(env, steps=3, seed=seed),
    lambda: random_rollout.run(env, "zero", steps=3, seed=seed),
    lambda: make_env("hopper", randomise={"seed": seed, "masses": (0.5, 2.0)}),
    lambda: loop.train(None, None, folder, loop.Schedule(total_steps=1), seeds=[0, seed]),
  ):
    with pytest.raises(ValueError, match=f"={seed},? .*a whole number"):
      call()
