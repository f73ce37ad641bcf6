"""What is said of errors that a file of the user's raises, wherever they come out."""

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
def theirs(tmp_path):
  """The module of a file of the user's."""
  path = tmp_path / "mine.py"
  path.write_text(FILE)
  load_task(f"{path}:make_it")

  return next(m for m in sys.modules.values() if getattr(m, "__file__", "") == str(path))


def said(function):
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
def test_an_error_is_told_with_its_line_however_it_was_called(theirs, name, line, text):
  function = getattr(theirs, name)
  expected = f"{theirs.__file__}, line {line}: {text}"
  assert (
    said(function) == said(jax.jit(jax.vmap(function, axis_size=1, in_axes=None))) == expected
  )


def test_an_error_in_a_callback_is_found_in_the_one_of_the_compiled_program(theirs):
  assert (
    said(jax.jit(theirs.called_back)) == f"{theirs.__file__}, line 6: ValueError: as it should"
  )


def test_other_errors_are_not_the_files_fault(theirs):
  assert said(lambda x: 1 / 0) is None
  with pytest.raises(KeyboardInterrupt) as pressed:
    raise KeyboardInterrupt
  assert user_error.blame(pressed.value) is None


def test_long_messages_are_one_short_line():
  error = RuntimeError("a b\n" * 1000)
  text = user_error.describe(error, "here")
  assert "\n" not in text and text.startswith("here: RuntimeError: a b a b") and len(text) < 280
