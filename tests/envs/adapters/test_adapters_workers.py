"""Rows of one batch in several worker processes; needs no Gymnasium."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import worker_walks as walks
from fake_gymnasium import Walk

from mbrl_jax import from_gymnasium
from mbrl_jax.algorithms.step import init_state, make_step
from mbrl_jax.envs import ActionNoise
from mbrl_jax.envs.adapters.host import vector_host as hosts_module
from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.training import loop
from tests.support.runtime_probe import probe_algorithm

KEY = jax.random.key(0)


@pytest.fixture
def adapt():
  """Adapts environments, and closes them."""
  made = []

  def adapt(source, **options):
    made.append(from_gymnasium(source, **options))
    return made[-1]

  yield adapt
  for env in made:
    env.close()


def begin(env, rows):
  return jax.vmap(env.reset)(jax.random.split(KEY, rows))


def step(env, states, actions):
  actions = jnp.asarray(actions, jnp.float32)[:, None]
  return jax.vmap(env.step, (0, 0, None))(states, actions, KEY)


def rollouts(env, rows, steps=20):
  """Takes random actions and begins anew what is over; returns states and transitions."""

  def body(state, key):
    act_key, restart_key = jax.random.split(key)
    action = jax.random.uniform(act_key, (1,), minval=-1.2, maxval=1.2)
    state, t = env.step(state, action, act_key)
    return env.restart(t.terminated | t.truncated, state, restart_key), t

  run = lambda key: jax.lax.scan(body, env.reset(key), jax.random.split(key, steps))
  return jax.jit(jax.vmap(run))(jax.random.split(KEY, rows))


def pids(env):
  return [process._process.pid for process in env.hosts._processes.values()]


def gone(pid):
  """Whether a process has ended, waiting a little for it."""
  for _ in range(100):
    try:
      os.kill(pid, 0)
      stat = Path(f"/proc/{pid}/stat")
      if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
        return True  # of a parent that was killed: nobody has asked how it ended
    except (ProcessLookupError, FileNotFoundError):
      return True
    time.sleep(0.1)
  return False


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_number_of_workers_changes_nothing(adapt):
  """Five rows, episodes of several lengths, resets in between."""
  alone = rollouts(adapt(walks.Short, workers=0), 5)
  ends = alone[1].terminated | alone[1].truncated
  assert ends.any(axis=1).all() and len(set(map(tuple, ends.tolist()))) > 1
  for workers in (1, 2, 7):
    env = adapt(walks.Short, workers=workers)
    same(rollouts(env, 5), alone)
    assert len(pids(env)) == min(workers, 5)


def test_rows_are_shared_out_and_stay_where_they_are(adapt):
  env = adapt(walks.Told, workers=2)
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
  assert states.steps.tolist() == [12, 12, 12, 2, 12], "another row was reset, too"


def test_states_are_found_in_whichever_batch_they_come(adapt):
  env = adapt(walks.Unseeded, workers=2)  # could not be replayed
  states = begin(env, 4)
  for rows in ([2], [0, 3], [1], [3, 2, 1]):
    some = jax.tree.map(lambda x, rows=rows: x[np.array(rows)], states)
    after, t = step(env, some, np.zeros(len(rows)))
    assert not t.truncated.any() and (t.next_obs[:, 1] == some.obs[:, 1] + 1).all()
    put = lambda all_, new, rows=rows: all_.at[np.array(rows)].set(new)
    states = jax.tree.map(put, states, after)


def test_old_states_are_replayed(adapt):
  """By the worker that had them and by one that never did."""
  env, fresh = adapt(walks.Endless, workers=2), adapt(walks.Endless, workers=2)
  states, kept, results = begin(env, 4), [], []
  for i in range(4):
    kept.append(states)
    states, t = step(env, states, [0.1 * i, -0.1, 0.2, 0.3])
    results.append(t)
  for i in (3, 0, 2):
    for again in (env, fresh):
      same(step(again, kept[i], [0.1 * i, -0.1, 0.2, 0.3])[1], results[i])


def test_one_state_can_be_stepped_twice_at_once(adapt):
  env, alone = adapt(walks.Endless, workers=2), adapt(walks.Endless, workers=0)
  states = step(env, begin(env, 4), [0.3, 0.2, 0.1, 0.0])[0]
  twice = jax.tree.map(lambda x: x[np.array([0, 0, 1])], states)
  actions = [0.2, -0.5, 0.1]
  after, t = step(env, twice, actions)
  same((after, t), step(alone, twice, actions))
  assert t.next_obs[1, 0] < t.next_obs[0, 0] and not t.truncated.any()


def test_a_state_that_cannot_be_replayed_is_told(adapt):
  old, new = (adapt(walks.Endless, workers=2, replay=False) for _ in range(2))
  states = step(old, begin(old, 3), np.zeros(3))[0]
  assert not step(old, states, np.zeros(3))[1].truncated.any()
  _, t = step(new, states, np.zeros(3))
  assert t.truncated.all() and (t.next_obs[:, 1] == 1).all()


def test_few_rows_stay_in_the_program_by_default(adapt, monkeypatch):
  monkeypatch.setattr(hosts_module, "_cores", lambda: 2)
  env = adapt(walks.Told)
  assert set(begin(env, 15).obs[:, 0].tolist()) == {os.getpid()} and not pids(env)
  states = begin(env, 16)
  assert states.obs[:, 0].tolist().count(os.getpid()) == 15, "known episodes have moved"
  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 16))
  assert set(states.obs[:, 0].tolist()) == set(pids(env)) and len(pids(env)) == 2
  assert set(step(env, states, np.zeros(16))[1].next_obs[:, 0].tolist()) == set(pids(env))


def test_what_no_other_process_can_make_stays_in_the_program(adapt):
  local = Walk.fresh()
  for source in (local, lambda: local(), local()):
    with pytest.raises(ValueError, match=r"workers=2 needs an id, or a function .* workers=0"):
      from_gymnasium(source, workers=2)
  kind = Walk.fresh()
  env = adapt(kind)
  assert len(begin(env, 40).obs) == 40 and not pids(env) and kind.made == 40


@pytest.mark.parametrize("workers", [-1, 1.5, True, "two"])
def test_workers_are_a_whole_number(workers):
  with pytest.raises(
    ValueError, match=f"workers must be a non-negative integer.* got {workers!r}"
  ):
    from_gymnasium(walks.Short, workers=workers)


def test_how_many_there_can_be_is_known_before_anything_is_compiled():
  single, many = from_gymnasium(walks.Short()), from_gymnasium(walks.Short)
  assert single.max_envs == ActionNoise(single, 0.1).max_envs == 1
  assert many.max_envs is None and ActionNoise(many, 0.1).max_envs is None


@pytest.mark.parametrize(
  ("kind", "message"),
  [
    ("Raising", r"Raising raised RuntimeError (step, worker 2): the wheel came off"),
    ("Leaving", r"Leaving raised SystemExit (step, worker 2): 3"),
    ("Exiting", r"Exiting ended its process with exit code 4 (step, worker 2)."),
    ("Crashing", r"Crashing's process was killed by SIGSEGV (step, worker 2)."),
    ("Killed", r"Killed's process was killed by SIGKILL (step, worker 2): is the machine"),
    ("Sleeping", r"Sleeping did not answer within 0.5 s (step, worker 2)."),
    ("Holding", r"Holding did not answer within 0.5 s (step, worker 2)."),
  ],
)
def test_a_failure_names_worker_and_deed_and_spares_the_others(adapt, kind, message):
  env = adapt(getattr(walks, kind), workers=2, timeout=0.5)
  states, _ = step(env, begin(env, 4), np.zeros(4))
  before = pids(env)
  with pytest.raises(Exception, match="environment failed") as caught:
    step(env, states, [0, 0, 0, 1])
  assert failure(caught.value).startswith(message)
  assert before[0] in pids(env)
  if kind not in ("Raising", "Leaving"):
    assert gone(before[1])
  _, t = step(env, states, np.zeros(4))  # what was lost is replayed
  assert (t.next_obs[:, 1] == 2).all() and not t.truncated.any()


def test_a_worker_that_cannot_make_one_says_so(adapt):
  env = adapt(walks.unfit, workers=2)
  with pytest.raises(Exception, match="environment failed") as caught:
    begin(env, 2)
  told = r"unfit raised OSError (construction, worker 1): no second licence"
  assert failure(caught.value) == told
  assert not pids(env)


def test_a_system_without_processes_is_told(adapt, monkeypatch):
  env, popen, started = adapt(walks.Endless, workers=2), subprocess.Popen, []

  def start(*arguments, **keywords):
    if len(started) == 1:
      raise BlockingIOError(11, "Resource temporarily unavailable")
    started.append(popen(*arguments, **keywords))
    return started[0]

  monkeypatch.setattr(subprocess, "Popen", start)
  with pytest.raises(Exception, match="environment failed") as caught:
    begin(env, 2)
  assert failure(caught.value).startswith(
    "Endless: a worker process cannot be started: [Errno 11] Resource"
  )
  assert gone(started[0].pid) and not pids(env)
  monkeypatch.undo()
  assert (step(env, begin(env, 2), np.zeros(2))[1].next_obs[:, 1] == 1).all()


def test_what_an_environment_starts_ends_with_its_worker(adapt):
  env = adapt(walks.Starting, workers=1)
  states, t = step(env, begin(env, 1), np.zeros(1))
  simulator = int(t.reward[0])
  os.kill(simulator, 0)
  with pytest.raises(Exception, match="killed by SIGSEGV"):
    step(env, states, np.ones(1))
  assert gone(simulator)


def test_a_worker_that_dies_unasked_is_a_failure(adapt):
  env = adapt(walks.Endless, workers=2)
  states = begin(env, 2)
  os.kill(pids(env)[0], signal.SIGTERM)
  assert gone(pids(env)[0])
  with pytest.raises(Exception, match="killed by SIGTERM"):
    step(env, states, np.zeros(2))
  assert (step(env, states, np.zeros(2))[1].next_obs[:, 1] == 1).all()


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
  whole = train(tmp_path / "whole", walks.Endless, 30, workers=0)
  train(tmp_path / "parts", walks.Endless, 20, workers=2)  # in the middle of an episode
  parts = train(tmp_path / "parts", walks.Endless, 30, resume=True, workers=1)
  same(whole.state._replace(key=None), parts.state._replace(key=None))
  tables = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "parts")]
  assert tables[0] == tables[1]


def test_closing_closes_every_instance_and_ends_the_workers(tmp_path, monkeypatch):
  monkeypatch.setenv("CLOSED", str(tmp_path))
  env = from_gymnasium(walks.Closing, workers=2)
  begin(env, 4)
  processes = pids(env)
  env.close()
  env.close()
  assert all(map(gone, processes)) and not pids(env)
  names = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
  assert sorted(map(names.count, map(str, processes))) == [2, 2]


def test_nothing_is_left_of_an_environment_that_is_forgotten(tmp_path, monkeypatch):
  monkeypatch.setenv("CLOSED", str(tmp_path))
  env = from_gymnasium(walks.Closing, workers=2)
  env.hosts.reset(np.ones(2, bool), np.arange(2, dtype=np.uint32), np.zeros((2, 2), np.uint32))
  processes = pids(env)
  del env
  assert all(map(gone, processes)) and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
  "fate", ["raise", "interrupt", "kill", pytest.param("hang", marks=pytest.mark.slow)]
)
def test_workers_end_with_the_program_however_it_ends(fate):
  here = Path(__file__).parent
  roots = [str(here), str(here.parents[2])]
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
  command = [sys.executable, str(here / "worker_program.py"), fate]
  program = subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=environment,
    process_group=0,
  )
  lines = [program.stdout.readline() for _ in range(3 if fate == "hang" else 2)]
  assert lines[0] == "started\n", program.stderr.read()
  workers = [int(pid) for line in lines[1:] for pid in line.split()]
  assert len(workers) == (3 if fate == "hang" else 2)
  if fate == "hang":
    time.sleep(0.5)
    program.kill()
  out, errors = program.communicate(timeout=60)
  assert out == "", "a worker ran the program once more"
  assert all(map(gone, workers))
  assert errors.count("Traceback") == (fate in ("raise", "interrupt")), errors
