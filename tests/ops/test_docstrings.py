"""Parsing of docstring sections."""

from mbrl_jax.ops import docstrings


def documented():
  """Does nothing.

  Args:
    first, second: two entries,
      on two lines.
    third: (0 to 1) the last.

  Returns:
    one: number.
  """


def test_a_section_ends_where_the_next_begins():
  both = "two entries, on two lines."
  expected = {"first": both, "second": both, "third": "(0 to 1) the last."}
  assert docstrings.entries(documented, "Args") == expected
  assert docstrings.entries(documented, "Returns") == {"one": "number."}


class Base:
  """Base class.

  Attributes:
    own: of the base.
    both: of the base, too.
  """


class Child(Base):
  """Derived class.

  Attributes:
    both: overridden.
  """


def test_a_class_inherits_the_entries_of_its_base_classes():
  both = {"own": "of the base.", "both": "overridden."}
  assert docstrings.entries(Child, "Attributes") == both


def test_a_missing_section_is_empty():
  assert docstrings.entries(documented, "Raises") == {}
  assert docstrings.entries(lambda: None, "Args") == {}
