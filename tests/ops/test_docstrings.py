"""Sections of docstrings become texts by name."""

from mbrl_jax.ops import docstrings


def documented():
  """Does nothing.

  Args:
    first, second: two of them,
      told on two lines.
    third: (0 to 1) the last.

  Returns:
    one: number.
  """


def test_a_section_ends_where_the_next_begins():
  both = "two of them, told on two lines."
  expected = {"first": both, "second": both, "third": "(0 to 1) the last."}
  assert docstrings.entries(documented, "Args") == expected
  assert docstrings.entries(documented, "Returns") == {"one": "number."}


class Base:
  """Is inherited from.

  Attributes:
    own: of the base.
    both: told of here.
  """


class Child(Base):
  """Inherits.

  Attributes:
    both: told of anew.
  """


def test_a_class_says_what_its_base_classes_say():
  both = {"own": "of the base.", "both": "told of anew."}
  assert docstrings.entries(Child, "Attributes") == both


def test_what_is_not_there_is_empty():
  assert docstrings.entries(documented, "Raises") == {}
  assert docstrings.entries(lambda: None, "Args") == {}
