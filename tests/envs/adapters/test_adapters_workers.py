"""Batches stepped in worker processes: equality, routing, replay; needs no Gymnasium."""

import functools
import os

import chex
import jax
import numpy as np
import pytest
import worker_walks as walks
from fake_gymnasium import Walk
from worker_helpers import KEY, begin, pids, step

from mbrl_jax import from_gymnasium
from mbrl_jax.algorithms.step import init_state, make_step
from mbrl_jax.envs import ActionNoise
from mbrl_jax.envs.adapters.host import vector_host
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.training import loop
from tests.support.runtime_probe import probe_algorithm


def rollouts(env, rows, steps=20):
  """Takes random actions and restarts finished episodes; returns states and transitions."""

  def body(state, key):
    act_key, restart_key = jax.random.split(key)
    action = jax.random.uniform(act_key, (1,), minval=-1.2, maxval=1.2)
    state, t = env.step(state, action, act_key)
    return env.restart(t.terminated | t.truncated, state, restart_key), t

  run = lambda key: jax.lax.scan(body, env.reset(key), jax.random.split(key, steps))
  return jax.jit(jax.vmap(run))(jax.random.split(KEY, rows))


def test_results_do_not_depend_on_the_number_of_workers(adapt):
  """Five rows with episodes of several lengths and resets."""
  alone = rollouts(adapt(walks.ShortWalk, workers=0), 5)
  ends = alone[1].terminated | alone[1].truncated
  assert ends.any(axis=1).all() and len(set(map(tuple, ends.tolist()))) > 1
  for workers in (1, 2, 7):
    env = adapt(walks.ShortWalk, workers=workers)
    chex.assert_trees_all_equal(rollouts(env, 5), alone)
    assert len(pids(env)) == min(workers, 5)


def test_rows_are_distributed_and_stay_with_their_worker(adapt):
  env = adapt(walks.ReportingWalk, workers=2)
  states, before = begin(env, 5), None
  for i in range(14):
    states, t = step(env, states, np.zeros(5))
    homes = t.next_obs[:, 0]
    assert not t.reward.any(), "there is jax in a worker"
    assert before is None or (homes == before).all()
    before = homes
    done = (t.terminated | t.truncated) & (np.arange(5) == 3)
    if i == 11:
      states = jax.vmap(env.restart)(done, states, jax.random.split(KEY, 5))
  assert sorted(np.unique(before, return_counts=True)[1]) == [2, 3]
  assert set(np.unique(before)) == set(pids(env)) and os.getpid() not in pids(env)
  assert states.steps.tolist() == [12, 12, 12, 2, 12], "another row was reset"


def test_states_are_found_in_any_batch(adapt):
  env = adapt(walks.UnseededWalk, workers=2)  # could not be replayed
  states = begin(env, 4)
  for rows in ([2], [0, 3], [1], [3, 2, 1]):
    some = jax.tree.map(lambda x, rows=rows: x[np.array(rows)], states)
    after, t = step(env, some, np.zeros(len(rows)))
    assert not t.truncated.any() and (t.next_obs[:, 1] == some.obs[:, 1] + 1).all()
    update = lambda old, new, rows=rows: old.at[np.array(rows)].set(new)
    states = jax.tree.map(update, states, after)


def test_old_states_are_replayed(adapt):
  """By the worker that had them and by another one."""
  env, fresh = adapt(walks.EndlessWalk, workers=2), adapt(walks.EndlessWalk, workers=2)
  states, kept, results = begin(env, 4), [], []
  for i in range(4):
    kept.append(states)
    states, t = step(env, states, [0.1 * i, -0.1, 0.2, 0.3])
    results.append(t)
  for i in (3, 0, 2):
    for again in (env, fresh):
      chex.assert_trees_all_equal(
        step(again, kept[i], [0.1 * i, -0.1, 0.2, 0.3])[1], results[i]
      )


def test_one_state_can_be_stepped_twice_in_a_batch(adapt):
  env, alone = adapt(walks.EndlessWalk, workers=2), adapt(walks.EndlessWalk, workers=0)
  states = step(env, begin(env, 4), [0.3, 0.2, 0.1, 0.0])[0]
  twice = jax.tree.map(lambda x: x[np.array([0, 0, 1])], states)
  actions = [0.2, -0.5, 0.1]
  after, t = step(env, twice, actions)
  chex.assert_trees_all_equal((after, t), step(alone, twice, actions))
  assert t.next_obs[1, 0] < t.next_obs[0, 0] and not t.truncated.any()


def test_a_state_that_cannot_be_replayed_is_truncated(adapt):
  old, new = (adapt(walks.EndlessWalk, workers=2, replay=False) for _ in range(2))
  states = step(old, begin(old, 3), np.zeros(3))[0]
  assert not step(old, states, np.zeros(3))[1].truncated.any()
  _, t = step(new, states, np.zeros(3))
  assert t.truncated.all() and (t.next_obs[:, 1] == 1).all()


def test_small_batches_stay_in_the_program_by_default(adapt, monkeypatch):
  monkeypatch.setattr(vector_host, "_cores", lambda: 2)
  env = adapt(walks.ReportingWalk)
  assert set(begin(env, 15).obs[:, 0].tolist()) == {os.getpid()} and not pids(env)
  states = begin(env, 16)
  assert states.obs[:, 0].tolist().count(os.getpid()) == 15, "running episodes have moved"
  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 16))
  assert set(states.obs[:, 0].tolist()) == set(pids(env)) and len(pids(env)) == 2
  assert set(step(env, states, np.zeros(16))[1].next_obs[:, 0].tolist()) == set(pids(env))


def test_sources_that_cannot_be_pickled_stay_in_the_program(adapt):
  local = Walk.fresh()
  for source in (local, lambda: local(), local()):
    with pytest.raises(ValueError, match=r"workers=2 needs an id, or a function .* workers=0"):
      from_gymnasium(source, workers=2)
  kind = Walk.fresh()
  env = adapt(kind)
  assert len(begin(env, 40).obs) == 40 and not pids(env) and kind.made == 40


@pytest.mark.parametrize("workers", [-1, 1.5, True, "two"])
def test_an_invalid_number_of_workers_is_refused(workers):
  with pytest.raises(
    ValueError, match=f"workers must be a non-negative integer.* got {workers!r}"
  ):
    from_gymnasium(walks.ShortWalk, workers=workers)


def test_max_envs_is_known_before_compilation():
  single, many = from_gymnasium(walks.ShortWalk()), from_gymnasium(walks.ShortWalk)
  assert single.max_envs == ActionNoise(single, 0.1).max_envs == 1
  assert many.max_envs is None and ActionNoise(many, 0.1).max_envs is None


def train(path, kind, total, resume=False, **options):
  env, algorithm = from_gymnasium(kind, **options), probe_algorithm()
  start = jax.vmap(functools.partial(init_state, algorithm, env))
  folder = run_folder.open_run(path) if resume else run_folder.create(path, {})
  try:
    return loop.train(
      make_step(algorithm, env, steps=5, seeds=2),
      start(jax.random.split(KEY, 2)),
      folder,
      loop.Schedule(total_steps=total),
      seeds=[0, 1],
      resume=resume,
    )
  finally:
    env.close()


def test_a_run_resumes_exactly_with_another_number_of_workers(tmp_path):
  whole = train(tmp_path / "whole", walks.EndlessWalk, 30, workers=0)
  train(tmp_path / "parts", walks.EndlessWalk, 20, workers=2)  # in the middle of an episode
  parts = train(tmp_path / "parts", walks.EndlessWalk, 30, resume=True, workers=1)
  chex.assert_trees_all_equal(whole.state._replace(key=None), parts.state._replace(key=None))
  tables = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "parts")]
  assert tables[0] == tables[1]
