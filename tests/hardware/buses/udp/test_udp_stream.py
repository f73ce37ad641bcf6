from hardware.buses.udp.datagrams import Stamp
from hardware.buses.udp.stream import Stream


def counts(numbers, session=1):
  stream = Stream()
  taken = [number for number in numbers if stream.accept(Stamp(session, number, 0))]
  return taken, {name: n for name, n in stream.counters.items() if n}


def test_a_stream_in_order():
  assert counts([5, 6, 7]) == ([5, 6, 7], {"new": 3})


def test_lost_datagrams():
  assert counts([1, 2, 5]) == ([1, 2, 5], {"new": 3, "lost": 2})


def test_a_reordered_datagram_is_old_and_no_longer_lost():
  assert counts([1, 3, 2, 4]) == ([1, 3, 4], {"new": 3, "reordered": 1})


def test_duplicates():
  assert counts([1, 2, 2, 1, 3]) == ([1, 2, 3], {"new": 3, "duplicated": 2})


def test_a_duplicate_of_a_reordered_datagram():
  assert counts([1, 3, 2, 2]) == ([1, 3], {"new": 2, "reordered": 1, "duplicated": 1})


def test_numbers_wrap_around():
  assert counts([2**32 - 2, 2**32 - 1, 0, 1, 2**32 - 1])[0] == [2**32 - 2, 2**32 - 1, 0, 1]
  assert counts([2**32 - 1, 1])[1] == {"new": 2, "lost": 1}


def test_a_sender_that_starts_again_is_followed():
  stream = Stream()
  for session, number in ((1, 100), (2, 1), (2, 2)):
    assert stream.accept(Stamp(session, number, 0))
  assert not stream.accept(Stamp(1, 101, 0))  # a straggler
  assert stream.accept(Stamp(2, 3, 0))
  assert stream.counters["restarts"] == 1 and stream.counters["reordered"] == 1
