"""Random, planned and validation rows are told apart by episode and stay apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.split_buffer import (
  NEW,
  OLD,
  VALIDATION,
  add_split,
  init_split,
  load_split,
  sort_rows,
)
from mbrl_jax.envs import make_env
from mbrl_jax.types import Transition

SPEC = make_env("pendulum").spec


def rows(numbers, ends):
  """Returns transitions ``[n]`` whose reward is their number and leads from it to the next."""
  numbers = np.asarray(numbers, np.float32)
  obs = np.repeat(numbers[:, None], 3, 1)
  none = np.zeros(len(numbers), bool)
  return Transition(obs, obs[:, :1], numbers, obs + 1, none, np.asarray(ends, bool))


def filled(steps, random_steps, envs, length, every, capacity=60):
  """Returns a buffer after steps of ``envs`` environments, and the groups to expect.

  Row ``t`` of environment ``i`` has the number ``100 t + i``.
  """
  buffer, expected = init_split(SPEC, capacity, envs), {}
  add = jax.jit(add_split, static_argnums=3)
  for t in range(steps):
    number, episode = 100 * t + np.arange(envs), t // length
    ends = np.full(envs, t % length == length - 1)
    buffer = add(buffer, rows(number, ends), jnp.asarray(t < random_steps), every)
    for i in range(envs):
      train = "old" if t < random_steps else "new"
      held = every and episode % every == every - 1
      expected[100 * t + i] = (episode, i) if held else train
  return buffer, expected


def split(buffer):
  """Returns the numbers of old, new and validation rows, and the latters' groups."""
  found = jax.device_get(jax.jit(sort_rows)(buffer))
  cuts = np.cumsum([found.old, found.new, found.validation])
  old, new, held, _ = np.split(found.data.reward, cuts)
  return old.tolist(), new.tolist(), held.tolist(), found.group[cuts[1] : cuts[2]]


@pytest.mark.parametrize("envs", [1, 2])
@pytest.mark.parametrize("every", [0, 2, 3])
def test_whole_episodes_of_each_environment_are_held_out(envs, every):
  buffer, expected = filled(14, 6, envs, length=2, every=every)
  old, new, held, groups = split(buffer)
  of = lambda group: [number for number, found in expected.items() if found == group]
  assert old == of("old") and new == of("new")
  assert sorted(held) == [n for n, found in expected.items() if isinstance(found, tuple)]
  if not every:
    assert not held
    return
  # Rows of an episode follow each other in the order of time, and share a group.
  episodes = [expected[number] for number in held]
  assert len({*zip(episodes, groups.tolist(), strict=True)}) == len(set(episodes)) > 1
  assert (np.diff(groups) >= 0).all() and groups.min() >= VALIDATION > NEW > OLD
  for group in set(groups.tolist()):
    own = np.asarray(held)[groups == group]
    assert own.tolist() == [own[0], own[0] + 100]


def test_the_oldest_rows_are_overwritten_and_the_order_stays():
  buffer, expected = filled(14, 6, 1, length=2, every=2, capacity=9)
  old, new, held, _ = split(buffer)
  kept = sorted(expected)[-9:]
  assert sorted(old + new + held) == kept
  assert old == [n for n in kept if expected[n] == "old"] and new == sorted(new)
  assert held == sorted(held)


@pytest.mark.parametrize("grow", [True, False])
def test_a_data_set_is_old_and_its_episodes_are_counted_apart(grow):
  # Three episodes: the second begins after a truncation, the third elsewhere.
  data = rows([0, 1, 2, 3, 10, 11], [0, 1, 0, 0, 0, 0])
  buffer = init_split(SPEC, 8, envs=1)
  buffer = jax.jit(lambda b, d: load_split(b, d, 2, grow=grow))(buffer, data)
  assert buffer.items.capacity == (14 if grow else 8) and int(buffer.loaded) == 3
  assert split(buffer)[:3] == ([0, 1, 10, 11], [], [2, 3])
  for number in (20, 21):  # episodes of one step: the second is held out
    buffer = add_split(buffer, rows([number], [1]), jnp.asarray(False), 2)
  old, new, held, groups = split(buffer)
  assert (old, new, held) == ([0, 1, 10, 11], [20], [2, 3, 21])
  assert len(set(groups.tolist())) == 2


def test_a_data_set_must_fit():
  with pytest.raises(ValueError, match=r"capacity=4 is less than the 6 trans.* capacity=6"):
    load_split(init_split(SPEC, 4, 1), rows(range(6), [0] * 6), 0, grow=False)
