"""Violations of Gymnasium's protocol are reported; needs no Gymnasium."""

import decimal
import logging
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_gymnasium import Walk

from experiments.command_line.cli import keep_log_record
from mbrl_jax import from_gymnasium
from mbrl_jax.envs.adapters.host import protocol
from mbrl_jax.ops.env_failure import EnvironmentFailed, environment_error, failure, tag_failures

KEY = jax.random.key(0)


def fail_with(error):
  """Returns a function that raises."""

  def fail(*_):
    raise error

  return fail


@pytest.mark.parametrize(
  "reward",
  [1.5, np.float32(1.5), np.array(1.5), np.array([[1.5]]), [1.5], decimal.Decimal("1.5")],
)
def test_arrays_of_one_number_are_rewards(reward):
  outcome = protocol.read_step((None, reward, np.bool_(True), np.array([0]), None))
  assert outcome == (None, 1.5, True, False)
  assert [type(x) for x in outcome[1:]] == [float, bool, bool]


def test_integers_and_bools_are_rewards():
  rewards = [protocol.read_step((0, x, 0.0, 1, {})).reward for x in (3, np.int8(3), True)]
  assert rewards == [3.0, 3.0, 1.0]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t: t[:2], "a tuple of 2 from step, not (obs, reward, terminated, truncated, info)"),
    (lambda t: (*t[:3], {}), "a tuple of 4 from step, not (obs, reward, terminated,"),
    (lambda t: None, "None from step, not (obs, reward,"),
    (lambda t: np.zeros(5), "an array of shape [5] (float64) from step, not (obs, reward,"),
    (lambda t: (t[0], np.zeros(3), *t[2:]), "array of shape [3] (float64) as reward from step"),
    (lambda t: (t[0], None, *t[2:]), "None as reward from step, not one number."),
    (lambda t: (t[0], "2.5", *t[2:]), "'2.5' as reward from step, not one number."),
    (lambda t: (t[0], 1j, *t[2:]), "1j as reward from step, not one number."),
    (lambda t: (*t[:2], "no", *t[3:]), "'no' as terminated from step, not True or False."),
    (lambda t: (*t[:3], None, {}), "None as truncated from step, not True or False."),
    (lambda t: (np.zeros(3), *t[1:]), "as observation from step, not numbers of shape [2]."),
  ],
)
def test_a_step_that_violates_the_protocol_is_reported(change, message):
  env = from_gymnasium(Walk.fresh(fault=(1, change)))
  with pytest.raises(Exception, match="environment failed") as caught:
    env.step(env.reset(KEY), jnp.zeros(1), KEY)
  found = failure(caught.value)
  assert found.startswith("Walk returned ") and message in found and "\n" not in found


@pytest.mark.parametrize(
  ("returned", "message"),
  [
    (np.zeros(2), "an array of shape [2] (float64) from reset, not (obs, info)."),
    (None, "None from reset, not (obs, info)."),
    ((np.zeros(2),), "a tuple of 1 from reset, not (obs, info)."),
    ((0.5, 0.5), "0.5 as observation from reset, not numbers of shape [2]."),
  ],
)
def test_a_reset_that_violates_the_protocol_is_reported(returned, message):
  with pytest.raises(EnvironmentFailed) as caught:
    from_gymnasium(Walk.fresh(reset=lambda self, **_: returned))
  assert failure(caught.value) == f"Walk returned {message}"


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (SystemExit(3), "Walk raised SystemExit (step): 3"),
    (KeyboardInterrupt(), "Walk raised KeyboardInterrupt (step)."),
    (AssertionError(), "Walk raised AssertionError (step)."),
    (ValueError("a\n [b]\udc80\0{c}%s"), "Walk raised ValueError (step): a [b]??{c}%s"),
    (ValueError("x" * 10**6), f"Walk raised ValueError (step): {'x' * 969}..."),
  ],
)
def test_every_exception_is_reported_in_one_line(error, message):
  env = from_gymnasium(Walk.fresh(fault=(1, fail_with(error))))
  with pytest.raises(Exception, match="environment failed") as caught:
    env.step(env.reset(KEY), jnp.zeros(1), KEY)
  assert failure(caught.value) == message


def test_sys_exit_during_construction_is_a_failure():
  with pytest.raises(EnvironmentFailed, match=r"exit raised SystemExit \(construction\)\."):
    from_gymnasium(sys.exit)


def test_closing_continues_after_an_instance_that_raises():
  closed = []

  def close(self):
    closed.append(self)
    raise OSError("stuck")

  env = from_gymnasium(Walk.fresh(close=close))
  jax.vmap(env.reset)(jax.random.split(KEY, 3))
  with pytest.raises(EnvironmentFailed, match=r"Walk raised OSError \(close\): stuck"):
    env.close()
  assert len(closed) == 3


def test_programs_filter_jax_logs_of_a_failure(caplog):
  """On accelerators ``pure_callback`` logs the exception."""
  logger = logging.getLogger("jax._src.callback")

  def call(error):
    fail = tag_failures(fail_with(error))
    with pytest.raises(Exception, match="sentence"):
      jax.block_until_ready(jax.pure_callback(fail, jax.ShapeDtypeStruct((), np.float32), 0.0))
    return len(caplog.records)

  logger.addFilter(keep_log_record)
  try:
    assert (
      call(environment_error("a sentence")) == 0 and call(ValueError("another sentence")) == 1
    )
  finally:
    logger.removeFilter(keep_log_record)
