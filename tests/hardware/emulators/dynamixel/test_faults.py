"""Faults: by name, counted, the same for the same seed."""

from dataclasses import replace

import pytest

from hardware.buses.dynamixel import frames
from hardware.emulators.dynamixel.faults import NAMES, OF_ANSWERS, Faults, Reply
from mbrl_jax.ops.validate import ArgumentError

REPLY = Reply(1, frames.status(1, 0, b"\1\2\3\4"))
LATER = Reply(1, frames.status(1, 0, b"\5\6\7\x08"))


def test_unknown_names_are_refused_with_the_list():
  with pytest.raises(ArgumentError, match="Did you mean 'bit_flip'") as error:
    Faults().on("bitflip")
  assert all(name in str(error.value) for name in NAMES)
  with pytest.raises(ArgumentError):
    Faults().off("nothing")
  with pytest.raises(ArgumentError, match="probability"):
    Faults().on("drop", probability=2.0)


@pytest.mark.parametrize("name", OF_ANSWERS)
def test_each_fault_of_answers_strikes_and_is_counted(name):
  faults = Faults()
  assert faults.alter(REPLY) == REPLY
  faults.on(name, [1], seconds=0.1)
  altered = faults.alter(LATER)
  assert altered != LATER and faults.counts == {name: 1}
  other = Reply(2, frames.status(2))
  assert faults.alter(other) == other
  faults.off(name)
  assert faults.alter(LATER) == LATER


def test_what_they_do():
  faults = Faults()
  faults.alter(REPLY)
  faults.on("stale")
  assert faults.alter(LATER) == REPLY
  faults.off()
  faults.on("duplicate")
  assert faults.alter(LATER) == replace(LATER, copies=2)
  faults.off()
  faults.on("truncated")
  short = faults.alter(LATER)
  assert LATER.data.startswith(short.data) and 0 < len(short.data) < len(LATER.data)
  faults.off()
  faults.on("bit_flip")
  flipped = faults.alter(LATER)
  assert sum((a ^ b).bit_count() for a, b in zip(flipped.data, LATER.data, strict=True)) == 1


def test_same_seed_same_faults():
  def draw(seed):
    faults = Faults(seed)
    faults.on("drop", probability=0.3)
    faults.on("bit_flip", probability=0.2)
    return [faults.alter(REPLY) for _ in range(100)]

  assert draw(1) == draw(1) != draw(2)


def test_times_ends_a_fault():
  faults = Faults()
  faults.on("drop", times=2)
  assert [faults.alter(REPLY).copies for _ in range(4)] == [0, 0, 1, 1]


def test_reboot_strikes_each_servo_once():
  faults = Faults()
  faults.on("reboot")
  assert [faults.spend_reboot(id, [1, 2]) for id in (1, 1, 2, 2)] == [True, False, True, False]
