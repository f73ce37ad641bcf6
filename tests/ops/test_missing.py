"""Placeholders for missing reward and termination functions."""

import jax
import jax.numpy as jnp
import pytest

from mbrl_jax.ops.missing import MissingReward, MissingTermination, require_known

ARGUMENTS = jnp.zeros(3), jnp.zeros(1), jnp.ones(3)


def test_a_missing_reward_raises_its_message_when_called():
  with pytest.raises(ValueError, match=r"^pass reward=fn$"):
    MissingReward("pass reward=fn")(*ARGUMENTS)


def test_a_missing_termination_never_terminates():
  terminated = jax.jit(MissingTermination("pass terminated=fn"))(*ARGUMENTS)
  assert terminated.shape == () and terminated.dtype == bool and not terminated


@pytest.mark.parametrize("placeholder", [MissingReward, MissingTermination])
def test_require_known_rejects_placeholders_and_returns_functions(placeholder):
  with pytest.raises(ValueError, match=r"^pass it$"):
    require_known(placeholder("pass it"))
  function = lambda obs, action, next_obs: obs.sum()
  assert require_known(function) is function
