"""Fixtures of the adapters' tests."""

import pytest

from mbrl_jax import from_gymnasium


@pytest.fixture
def adapt():
  """Adapts Gymnasium environments, and closes them after the test."""
  made = []

  def adapt(source, **options):
    made.append(from_gymnasium(source, **options))
    return made[-1]

  yield adapt
  for env in made:
    env.close()
