"""Descriptions of errors that a task file raises, directly or in compiled code."""

import sys

import jax
import jax.numpy as jnp
import pytest

from mbrl_jax.runtime import user_error
from mbrl_jax.runtime.task_file import load_task

FILE = """
import sys, jax, jax.numpy as jnp
from mbrl_jax.envs import make_env

def fails(x):
  raise ValueError('as it should')

def leaves(x):
  sys.exit(3)

def stops(x):
  raise KeyboardInterrupt

def cancels(x):
  raise GeneratorExit

def called_back(x):
  shape = jax.ShapeDtypeStruct((), jnp.float32)
  return jax.pure_callback(fails, shape, x, vmap_method="sequential")

def make_it():
  return make_env("linear_quadratic")
"""


@pytest.fixture
def module(tmp_path):
  """The module of a loaded task file."""
  path = tmp_path / "mine.py"
  path.write_text(FILE)
  load_task(f"{path}:make_it")
  return next(m for m in sys.modules.values() if getattr(m, "__file__", "") == str(path))


def blamed(function):
  with pytest.raises(user_error.RAISED) as caught:
    function(jnp.ones(()))
  return user_error.blame(caught.value)


@pytest.mark.parametrize(
  ("name", "line", "text"),
  [
    ("fails", 6, "ValueError: as it should"),
    ("leaves", 9, "SystemExit: 3"),
    ("stops", 12, "KeyboardInterrupt"),
    ("cancels", 15, "GeneratorExit"),
  ],
)
def test_an_error_is_reported_with_its_line_under_jit_and_vmap_too(module, name, line, text):
  function = getattr(module, name)
  expected = f"{module.__file__}, line {line}: {text}"
  assert (
    blamed(function)
    == blamed(jax.jit(jax.vmap(function, axis_size=1, in_axes=None)))
    == expected
  )


def test_an_error_in_a_callback_is_found_in_the_error_of_compiled_code(module):
  assert (
    blamed(jax.jit(module.called_back))
    == f"{module.__file__}, line 6: ValueError: as it should"
  )


def test_other_errors_are_not_blamed_on_the_file(module):
  assert blamed(lambda x: 1 / 0) is None
  with pytest.raises(KeyboardInterrupt) as pressed:
    raise KeyboardInterrupt
  assert user_error.blame(pressed.value) is None


def test_long_messages_become_one_short_line():
  error = RuntimeError("a b\n" * 1000)
  text = user_error.describe(error, "here")
  assert "\n" not in text and text.startswith("here: RuntimeError: a b a b") and len(text) < 280
