"""The training step of any algorithm: non-finite or misshapen actions, idle algorithms."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import init_state, make_evaluation, make_step
from mbrl_jax.envs import make_env
from mbrl_jax.types import Algorithm, Budget, TrainState


def scripted(actions):
  """Replays ``actions [T, A]``; ``learn`` records the actions of the stored transitions."""
  actions = jnp.asarray(actions, jnp.float32)

  def init(key, envs=1):
    return TrainState(
      jnp.zeros_like(actions), jnp.zeros(envs, jnp.int32), None, key, jnp.int32(0)
    )

  def act(params, count, obs, key):
    return actions[count], count + 1, {"value": jnp.zeros(())}

  def observe(state, transitions):
    learn = state.learn.at[state.steps - 1].set(transitions.action[0])
    return state._replace(learn=learn)

  return Algorithm(
    init=init,
    params=lambda state: (),
    act=act,
    reset=lambda params, count: count,
    observe=observe,
    update=lambda state: (state, {"ran": jnp.ones(())}),
    budget=Budget({"steps": len(actions)}, "steps", steps=len(actions)),
    deploy=lambda params: (params, jnp.int32(0)),
  )


def asymmetric_pendulum():
  """The pendulum with action bounds that are not centred at zero."""
  env = make_env("pendulum")
  bounds = {"action_low": np.float32([-1.0]), "action_high": np.float32([2.0])}
  return dataclasses.replace(env, spec=env.spec._replace(**bounds))


def test_non_finite_actions_are_masked_and_counted():
  env = asymmetric_pendulum()
  algorithm = scripted([[1.0], [np.nan], [np.inf], [-np.inf], [5.0], [-0.5]])
  start = init_state(algorithm, env, jax.random.key(0))
  state, metrics = make_step(algorithm, env, steps=6)(start)
  taken = np.float32([1.0, 0.5, 0.5, 0.5, 5.0, -0.5])
  np.testing.assert_array_equal(metrics["info"]["masked_actions"], [0, 1, 1, 1, 0, 0])
  np.testing.assert_array_equal(metrics["transition"].action[:, 0], taken)
  np.testing.assert_array_equal(state.learn[:, 0], taken)
  for leaf in jax.tree.leaves((metrics["transition"], state.rollout)):
    assert np.isfinite(np.asarray(leaf, float)).all()

  finite = scripted(taken[:, None])
  expected = make_step(finite, env, steps=6)(init_state(finite, env, jax.random.key(0)))[1]
  chex.assert_trees_all_equal(metrics["transition"], expected["transition"])


@pytest.mark.parametrize("bad", ["reward", "next_obs"])
def test_non_finite_transitions_are_counted(bad):
  env = make_env("pendulum")

  class Broken:
    """The pendulum with a NaN in the second transition."""

    spec, reset, pose = env.spec, env.reset, env.pose

    def step(self, state, action, key):
      after, row = env.step(state, action, key)
      value = jnp.where(state.steps == 1, jnp.nan, getattr(row, bad))
      return after, row._replace(**{bad: value})

  algorithm = scripted(np.zeros((3, 1)))
  start = init_state(algorithm, Broken(), jax.random.key(0))
  info = make_step(algorithm, Broken(), steps=3)(start)[1]["info"]
  np.testing.assert_array_equal(info["nonfinite_transitions"], [0, 1, 0])


@pytest.mark.parametrize("seeds", [None, 2])
def test_no_step_is_taken_while_the_algorithm_is_idle(seeds):
  """Idle from step 2 to the first update, and from step 4 on."""
  env = make_env("pendulum")
  plain = scripted(np.linspace(-1, 1, 8)[:, None])
  idle = plain._replace(idle=lambda state: state.steps == 2 * (1 + (state.learn[7, 0] > 0)))
  mark = lambda state: (state._replace(learn=state.learn.at[7].add(1.0)), {"ran": jnp.ones(())})
  idle = idle._replace(update=mark)
  start = lambda key: init_state(idle, env, key)
  state = (
    jax.vmap(start)(jax.random.split(jax.random.key(0))) if seeds else start(jax.random.key(0))
  )
  step, rows = make_step(idle, env, steps=4, seeds=seeds), []
  for _ in range(3):
    state, metrics = step(state)
    first = jax.tree.map(lambda x: np.asarray(x[0] if seeds else x), metrics)
    rows.append(first["transition"].action[first["taken"], 0])
  assert [len(row) for row in rows] == [2, 2, 0]
  np.testing.assert_allclose(np.concatenate(rows), np.linspace(-1, 1, 8)[:4], rtol=1e-6)
  assert (state.steps == 4).all() and (state.rollout.env.steps == 4).all()


def test_one_bad_number_masks_the_whole_action():
  env = make_env("halfcheetah")
  algorithm = scripted([[0.5, np.nan, 0.5, 0.5, 0.5, 0.5]])
  _, metrics = make_step(algorithm, env)(init_state(algorithm, env, jax.random.key(0)))
  np.testing.assert_array_equal(metrics["transition"].action, np.zeros((1, 6)))


def test_non_finite_actions_make_the_return_of_an_evaluation_nan():
  env = make_env("pendulum", episode_length=3)
  algorithm = scripted([[1.0], [np.nan], [0.0]])
  state = init_state(algorithm, env, jax.random.key(0))
  metrics = make_evaluation(algorithm, env)(algorithm.params(state), jax.random.key(1))
  assert np.isnan(metrics["return"]).all()


@pytest.mark.parametrize("shape", [(), (2,), (1, 1)])
def test_an_action_of_the_wrong_shape_is_rejected_at_tracing(shape):
  env = make_env("pendulum")
  algorithm = scripted(np.zeros((3, *shape)))
  state = init_state(algorithm, env, jax.random.key(0))
  with pytest.raises(ValueError, match=r"action of shape \[1\] for 'pendulum', got \["):
    make_step(algorithm, env)(state)


@pytest.mark.parametrize("name", ["pendulum", "cartpole"])
@pytest.mark.parametrize("jit", [False, True])
def test_tasks_reject_an_action_of_the_wrong_shape(name, jit):
  env = make_env(name)
  step, state = jax.jit(env.step) if jit else env.step, env.reset(jax.random.key(0))
  with pytest.raises(ValueError, match=rf"shape \[1\] for '{name}', got \[4, 1\].*vmap"):
    step(state, np.zeros((4, 1)), jax.random.key(0))
