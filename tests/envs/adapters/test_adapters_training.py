"""Training on environments on the host: resets, resuming, failures; needs no Gymnasium."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_gymnasium import Walk

from mbrl_jax import from_gymnasium, make_env, to_gymnasium
from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.step import init_state, make_evaluation, make_step
from mbrl_jax.envs import ActionNoise
from mbrl_jax.envs.adapters.host.host_thread import HostExit, HostThread, HostTimeout
from mbrl_jax.envs.task import never
from mbrl_jax.ops.env_failure import EnvironmentFailed, failure
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.training import loop
from tests.support.runtime_probe import probe_algorithm


def reward(obs, action, next_obs):
  return -(next_obs[0] ** 2)


@pytest.mark.parametrize(("seeds", "envs"), [(None, 1), (3, 1), (None, 3), (2, 2)])
def test_training_resets_only_finished_rows(seeds, envs):
  kind = Walk.fresh(limit=1e9)
  env, algorithm = from_gymnasium(kind), probe_algorithm()
  step = make_step(algorithm, env, steps=30 * envs, envs=envs, seeds=seeds)
  key = jax.random.key(0)
  start = functools.partial(init_state, algorithm, env, envs=envs)
  state = start(key) if seeds is None else jax.vmap(start)(jax.random.split(key, seeds))
  _, metrics = step(state)
  rows = (seeds or 1) * envs
  assert np.sum(metrics["done"]) == 2 * rows
  assert kind.resets == 1 + 3 * rows and kind.steps == 30 * rows and kind.made == rows
  t = metrics["transition"]
  last = np.asarray(t.next_obs)[np.asarray(metrics["done"])]
  assert (last[:, 1] == 12).all(), "the observation after the reset was stored"


def test_action_noise_resets_only_finished_rows():
  kind = Walk.fresh(limit=1e9)
  env, algorithm = ActionNoise(from_gymnasium(kind), 0.1), probe_algorithm()
  start = jax.vmap(functools.partial(init_state, algorithm, env))
  _, metrics = make_step(algorithm, env, steps=12, seeds=2)(
    start(jax.random.split(jax.random.key(0), 2))
  )
  assert kind.resets == 1 + 4
  # the environment's own reward
  np.testing.assert_allclose(
    metrics["transition"].reward, metrics["transition"].next_obs[..., 0], rtol=1e-6
  )


def test_an_evaluation_does_not_disturb_training():
  algorithm = probe_algorithm()

  def run(evaluated):
    env = from_gymnasium(Walk.fresh(limit=1e9))
    step, evaluate = (
      make_step(algorithm, env, steps=5),
      make_evaluation(algorithm, env, episodes=2),
    )
    state, results = init_state(algorithm, env, jax.random.key(0)), []
    for i in range(5):
      state, metrics = step(state)
      if evaluated:
        evaluate(algorithm.params(state), jax.random.key(i))
      results.append(metrics["transition"].next_obs)
    return np.concatenate(results)

  np.testing.assert_array_equal(run(False), run(True))


def train(path, kind, total, resume=False, **options):
  """Trains in a run folder with a new environment, as a new process would."""
  env, algorithm = from_gymnasium(kind, **options), probe_algorithm()
  state = init_state(algorithm, env, jax.random.key(0))
  folder = run_folder.open_run(path) if resume else run_folder.create(path, {})
  schedule = loop.Schedule(total_steps=total)
  return loop.train(make_step(algorithm, env, steps=5), state, folder, schedule, resume=resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """An uninterrupted run: its result and the bytes of its table."""
  path = tmp_path_factory.mktemp("whole") / "run"
  return train(path, Walk.fresh(limit=1e9), 40), (path / "metrics.csv").read_bytes()


def test_a_run_resumes_exactly(tmp_path, whole):
  train(tmp_path / "parts", Walk.fresh(limit=1e9), 20)  # in the middle of an episode
  parts = train(tmp_path / "parts", Walk.fresh(limit=1e9), 40, resume=True)
  data = lambda state: [np.asarray(x) for x in jax.tree.leaves(state._replace(key=None))]
  for a, b in zip(data(whole[0].state), data(parts.state), strict=True):
    np.testing.assert_array_equal(a, b)
  assert (tmp_path / "parts" / "metrics.csv").read_bytes() == whole[1]


@pytest.mark.parametrize(
  ("fault", "message"),
  [
    ("raise", r"after step 5: Walk raised RuntimeError \(step\): the wheel came off"),
    ("hang", r"after step 5: Walk did not answer within 0.2 s \(step\)"),
    (lambda t: sys.exit(3), r"after step 5: Walk raised SystemExit \(step\): 3"),
    (
      lambda t: t[:2],
      r"after step 5: Walk returned a tuple of 2 from step, not \(obs, reward,",
    ),
  ],
)
def test_a_broken_environment_saves_and_stops_the_run(tmp_path, whole, fault, message):
  broken = Walk.fresh(limit=1e9, fault=(8, fault))
  with pytest.raises(loop.EnvironmentStopped, match=message):
    train(tmp_path / "run", broken, 40, timeout=0.2)
  assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["00000005"]
  train(tmp_path / "run", Walk.fresh(limit=1e9), 40, resume=True)
  assert (tmp_path / "run" / "metrics.csv").read_bytes() == whole[1]


def test_a_failed_construction_is_reported():
  def explode():
    raise OSError("no port")

  with pytest.raises(EnvironmentFailed) as caught:
    from_gymnasium(explode)
  assert failure(caught.value) == "explode raised OSError (construction): no port"
  assert failure(ValueError("another")) is None


def test_an_error_without_text_is_named():
  class Mute(Exception):
    def __str__(self):
      raise RuntimeError("no text")

  def mute(t):
    raise Mute

  env = from_gymnasium(Walk.fresh(limit=1e9, fault=(1, mute)))
  with pytest.raises(Exception, match="failed: ") as caught:
    env.step(env.reset(jax.random.key(0)), jnp.zeros(1), jax.random.key(0))
  assert failure(caught.value) == "Walk raised Mute (step)."


def test_a_failure_does_not_break_later_calls():
  kind = Walk.fresh(limit=1e9, fault=(2, "hang"))
  env = from_gymnasium(kind, timeout=0.2)
  state = env.step(env.reset(jax.random.key(0)), jnp.zeros(1), jax.random.key(0))[0]
  with pytest.raises(Exception, match="did not answer"):
    env.step(state, jnp.zeros(1), jax.random.key(0))
  kind.fault = None
  _, t = env.step(state, jnp.zeros(1), jax.random.key(0))
  assert t.next_obs[1] == 2


def test_the_thread_returns_results_and_errors():
  worker = HostThread(timeout=0.2)
  assert worker.call(divmod, 7, 2) == (3, 1)
  with pytest.raises(ZeroDivisionError):
    worker.call(divmod, 7, 0)
  with pytest.raises(HostTimeout):
    worker.call(__import__("time").sleep, 1.0)
  with pytest.raises(HostExit) as caught:
    worker.call(sys.exit, 3)
  assert caught.value.__cause__.code == 3
  assert worker.call(max, [1, 2], default=0) == 2


def test_planning_needs_a_reward():
  env = from_gymnasium(Walk.fresh())
  with pytest.raises(ValueError, match=r"pass one, from_gymnasium\(env, reward=fn\)"):
    make_algorithm("pets", env.spec)
  assert make_algorithm("pets", from_gymnasium(Walk.fresh(), reward=reward).spec)


@pytest.mark.parametrize("name", ["mbpo", "mopac", "demorl", "loop", "demo_layer"])
def test_model_rollouts_need_a_termination(name):
  spec = from_gymnasium(Walk.fresh(), reward=reward).spec
  with pytest.raises(
    ValueError, match=r"from_gymnasium\(env, terminated=fn\).* mbrl_jax.never"
  ):
    make_algorithm(name, spec)
  known = from_gymnasium(Walk.fresh(), reward=reward, terminated=never).spec
  assert make_algorithm(name, known) and make_algorithm("sac", spec)


def test_a_missing_library_names_its_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, "gymnasium", None)
  for make in (
    lambda: from_gymnasium("Pendulum-v1"),
    lambda: make_env("gymnasium:Pendulum-v1"),
    lambda: to_gymnasium(make_env("pendulum")),
  ):
    with pytest.raises(ImportError, match=r'pip install "mbrl_jax\[gymnasium\]"'):
      make()


def test_adapted_names_refuse_physics_and_randomise():
  with pytest.raises(ValueError, match="physics='mjx'"):
    make_env("gymnasium:Pendulum-v1", "mjx")
  with pytest.raises(ValueError, match="randomise"):
    make_env("gymnasium:Pendulum-v1", randomise={"count": 2})
