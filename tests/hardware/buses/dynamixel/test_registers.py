"""The control table: its items do not overlap, its values survive."""

import pytest

from hardware.buses.dynamixel import registers
from mbrl_jax.ops.validate import ArgumentError


def test_items_do_not_overlap_and_stay_inside():
  used = [a for i in registers.ITEMS.values() for a in range(i.address, i.address + i.length)]
  assert len(used) == len(set(used)) and max(used) < registers.TABLE_END


@pytest.mark.parametrize(
  ("name", "address", "length", "signed", "default"),
  [
    ("baud_rate", 8, 1, False, 1),
    ("shutdown", 63, 1, False, 52),
    ("bus_watchdog", 98, 1, True, 0),
    ("goal_position", 116, 4, True, None),
    ("present_current", 126, 2, True, None),
    ("indirect_address_28", 222, 2, False, 251),
    ("indirect_data_56", 661, 1, False, 0),
  ],
)
def test_items_of_the_manual(name, address, length, signed, default):
  item = registers.item(name)
  assert (item.address, item.length, item.signed, item.default) == (
    address,
    length,
    signed,
    default,
  )


def test_defaults_can_be_written():
  for item in registers.ITEMS.values():
    if item.default is not None and not item.read_only and item.name != "secondary_id":
      assert item.low <= item.default <= item.high, item.name


def test_values_round_trip():
  for item in registers.ITEMS.values():
    for value in (item.low, item.high, item.default or 0):
      if item.encode(value):
        assert item.decode(item.encode(value)) == value
        assert len(item.encode(value)) == item.length


def test_state_is_one_block():
  assert registers.Span(126, 10) == registers.STATE
  assert registers.state(bytes.fromhex("FFFF 01000000 FEFFFFFF")) == (-1, 1, -2)


def test_errors_say_what_is_known():
  with pytest.raises(ArgumentError, match="Did you mean 'goal_position'"):
    registers.item("goal_positon")
  with pytest.raises(ArgumentError, match=r"1030 \(XM430-W210\)"):
    registers.model(12)
  with pytest.raises(ArgumentError, match="goal_position"):
    registers.item("goal_position").encode(2**31)
  with pytest.raises(ArgumentError, match="must not come before"):
    registers.span("present_position", "goal_position")


def test_units():
  assert registers.item("present_velocity").scale == pytest.approx(0.02398, abs=1e-5)
  assert registers.item("present_position").scale * 4096 == pytest.approx(6.2832, abs=1e-4)
