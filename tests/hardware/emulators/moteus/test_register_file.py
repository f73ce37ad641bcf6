import pytest

from hardware.buses.moteus.frames import Kind, parse, read_registers
from hardware.buses.moteus.registers import Register, Resolution
from hardware.emulators.moteus import register_file
from hardware.emulators.moteus.register_file import INVALID, READ_ONLY, UNKNOWN, answer


@pytest.mark.parametrize(
  ("register", "value", "code"),
  [
    (Register.MODE, 0, 0),
    (Register.MODE, 10, 0),
    (Register.MODE, 11, INVALID),
    (Register.MODE, 99, INVALID),
    (Register.MODE, float("nan"), INVALID),
    (Register.COMMAND_TORQUE, 1.0, 0),
    (Register.SET_OUTPUT_EXACT, 1.0, 0),
    (Register.POSITION, 1.0, READ_ONLY),
    (Register.FIRMWARE_VERSION, 1.0, READ_ONLY),
    (0x155, 1.0, UNKNOWN),
  ],
)
def test_what_can_be_written(register, value, code):
  assert register_file.write_error(register, value) == code


def test_values_and_errors_come_in_the_order_of_the_request():
  values = {0: 10, 1: 0.5, 3: 2.0}
  query = {0: Resolution.INT8, **dict.fromkeys(range(1, 4), Resolution.INT16)}
  parts = parse(answer(parse(read_registers(query)), values.get))
  assert [(p.kind, p.register) for p in parts] == [
    (Kind.REPLY, 0),
    (Kind.REPLY, 1),
    (Kind.READ_ERROR, 2),
    (Kind.REPLY, 3),
  ]


def test_words_can_be_read_as_words_alone():
  for resolution in Resolution:
    query = read_registers({Register.FIRMWARE_VERSION: resolution})
    kind = parse(answer(parse(query), lambda register: 7))[0].kind
    assert kind is (Kind.REPLY if resolution is Resolution.INT32 else Kind.READ_ERROR)


def test_a_reply_never_exceeds_a_frame():
  query = read_registers(dict.fromkeys(range(0, 60, 2), Resolution.FLOAT))
  assert len(answer(parse(query[:64]), lambda register: 1.0)) <= 64
