"""Helpers of the tests of planning: calls of the program, and a small compiled planner."""

from __future__ import annotations

import csv
import functools

import jax
from absl import flags

from experiments.plan import __main__ as plan
from experiments.plan import control
from experiments.plan.setup import make_setup
from mbrl_jax.envs import make_env


def parse(*arguments):
  """Parses flags of ``experiments.plan``."""
  values = flags.FlagValues()
  plan.define(values)
  values(["plan", *arguments])
  return values


def call(*arguments, env=None):
  """Calls the program in this process; returns its exit status."""
  return plan.main(parse(*arguments), {"config": {}, "env": env or {}})


def rows(folder):
  """Reads ``plan.csv``."""
  with open(folder / "plan.csv", newline="") as file:
    return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def linear(**loop):
  """Makes a small planner on the linear system, whose states show the applied actions."""
  env = make_env("linear_quadratic")
  keywords = {"samples": 16, "elites": 4, "epsilon": 0.0}
  return make_setup(env, env, keywords=keywords, **{"horizon": 6, "iterations": 2, **loop})


@functools.cache
def compiled():
  """Compiles the functions of that planner, once for all tests."""
  return control.compile_control(control.make_control(linear(), 4), jax.random.key(0))[0]
