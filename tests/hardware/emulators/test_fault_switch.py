import pytest

from hardware.emulators.fault_switch import FaultSwitch
from mbrl_jax.ops.validate import ArgumentError


def test_a_fault_happens_as_often_as_asked():
  switch = FaultSwitch(["drop", "delay"])
  switch.start("drop", count=2)
  assert [switch.take("drop") for _ in range(3)] == [True, True, False]
  switch.start("drop")
  assert all(switch.take("drop") for _ in range(10))
  switch.stop("drop")
  assert not switch.take("drop")


def test_a_fault_of_one_device_spares_the_others():
  switch = FaultSwitch(["drop"])
  switch.start("drop", device=11)
  assert switch.is_on("drop", 11) and switch.take("drop", 11)
  assert not switch.is_on("drop", 12) and not switch.take("drop", 12)
  switch.start("drop")
  assert switch.is_on("drop", 12)
  switch.stop()
  assert not switch.is_on("drop", 11)


def test_unknown_faults_are_refused_with_the_list():
  switch = FaultSwitch(["drop", "delay"])
  for change in (switch.start, switch.stop):
    with pytest.raises(ArgumentError, match=r"fault='dropp' is not known.*'drop', 'delay'"):
      change("dropp")
  with pytest.raises(ArgumentError, match="count=0 must be positive"):
    switch.start("drop", count=0)
