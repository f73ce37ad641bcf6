"""Stands in for a reward function that nobody has given."""

from __future__ import annotations

from typing import Any, NoReturn


class Missing:
  """A reward function that is not known; to call it is an error that says what to do.

  Attributes:
    message: what to tell whoever needs it.
  """

  def __init__(self, message: str):
    self.message = message

  def __call__(self, obs: Any, action: Any, next_obs: Any) -> NoReturn:
    """Refuses.

    Raises:
      ValueError: always.
    """
    raise ValueError(self.message)


def given(judge: Any) -> Any:
  """Returns a reward function, checked at construction instead of at the first step.

  Raises:
    ValueError: it is ``Missing``; says how to give one.
  """
  if isinstance(judge, Missing):
    raise ValueError(judge.message)
  return judge
