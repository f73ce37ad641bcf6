"""Arguments of a search are read from its factory, and others are rejected."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from mbrl_jax.planners import SEARCHES, cem, evosax, mirror_descent, mppi
from mbrl_jax.planners.search_arguments import check, complete, settings_of

FACTORIES = {**SEARCHES, "evosax": evosax}


def factory(samples: int = 8, *, push: float | None = None, loud: bool = False, **more: int):
  """Makes a search.

  Args:
    samples: how
      many.
    push, loud: two words.
    **more: not named.

  Raises:
    ValueError: never.
  """


@pytest.mark.parametrize("name", FACTORIES)
def test_arguments_are_read_with_type_default_and_help(name):
  known = settings_of(FACTORIES[name])
  named = inspect.getfullargspec(FACTORIES[name])
  assert list(known) == [*named.args, *named.kwonlyargs]
  assert all(setting.help for setting in known.values())
  check(name, known, {key: setting.default for key, setting in known.items()})


def test_defaults_and_help_are_those_of_the_factory():
  known = settings_of(factory)
  assert {name: setting.default for name, setting in known.items()} == {
    "samples": 8,
    "push": None,
    "loud": False,
  }
  texts = ["how many.", "two words.", "two words."]
  assert [setting.help for setting in known.values()] == texts


def test_argument_without_a_default_is_rejected():
  with pytest.raises(ValueError, match=r"the argument 'plans' of bare must have a default"):

    def bare(plans):
      pass

    settings_of(bare)


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (
      {"pus": 1.0},
      r"^pus is no setting of factory \(did you mean push\?\): it has samples, push",
    ),
    ({"elites": 3}, r"^elites is no setting of factory: it has samples, push, loud\.$"),
    ({"samples": 1.5}, r"^samples=1\.5 is not of the right type: expected int\.$"),
    ({"samples": True}, "samples=True is not of the right type"),
    ({"push": "1"}, r"push='1' is not of the right type: expected float \| None"),
    ({"loud": 1}, "loud=1 is not of the right type: expected bool"),
  ],
)
def test_unknown_settings_and_wrong_types_are_named(given, message):
  with pytest.raises(ValueError, match=message) as error:
    check("factory", settings_of(factory), given)
  assert "\n" not in str(error.value)


def test_numpy_numbers_and_integers_for_floats_are_accepted():
  check("factory", settings_of(factory), {"samples": np.int64(3), "push": np.float32(0.5)})
  check("factory", settings_of(factory), {"push": 1})
  check("mirror_descent", settings_of(mirror_descent), {"utility": lambda returns: returns})


def test_given_values_precede_defaults_of_caller_and_factory():
  values = complete(settings_of(cem), {"alpha": 0.5}, {"samples": 9, "alpha": 0.2, "kappa": 1})
  assert values == {"samples": 9, "elites": 40, "alpha": 0.5, "epsilon": 1e-3}


def test_given_temperature_stays_fixed():
  known, defaults = settings_of(mppi), {"ess_fraction": 0.05}
  assert complete(known, {}, defaults)["ess_fraction"] == 0.05
  assert complete(known, {"temperature": 0.3}, defaults)["ess_fraction"] == 0.0
  both = complete(known, {"temperature": 0.3, "ess_fraction": 0.2}, defaults)
  assert (both["temperature"], both["ess_fraction"]) == (0.3, 0.2)
