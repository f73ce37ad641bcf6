"""Every random key is consumed once, see ``key_recorder``.

``jax.random.fold_in(key, i)`` equals ``jax.random.split(key, n)[i]``: a key that is split in
one place and folded in another gives the same numbers in both.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from key_recorder import Recorder

from experiments.plan.control import make_control
from mbrl_jax.algorithms import (
  dagger,
  demo_layer,
  demorl,
  game,
  init_state,
  loop,
  make_algorithm,
  make_evaluation,
  make_step,
  mbmf,
  mbpo,
  mopac,
  morel,
  npg,
  pets,
  sac,
  trpo,
)
from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig
from mbrl_jax.algorithms.parts.difference_nets import DifferenceModelConfig
from mbrl_jax.algorithms.parts.dynamics_config import FitConfig, ModelConfig
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.algorithms.parts.lookahead import LookaheadConfig
from mbrl_jax.algorithms.parts.mixed_fit import MixedFitConfig
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig
from mbrl_jax.algorithms.parts.world_model import WorldModelConfig
from mbrl_jax.envs import env_dynamics, make_env
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.planners import SEARCHES, evosax, make_evaluate, make_planner, policy_plans
from mbrl_jax.types import Dynamics

AGENT = ActorCriticConfig(hidden=(4,), batch_size=4, updates_per_step=2)
WORLD = WorldModelConfig(
  members=2, elites=2, hidden=(4,), weight_decay=(0.0,), epochs=2, batch_size=8
)
COMMON = {"steps": 12, "init_steps": 4, "update_every": 4}
IMAGINED = {
  **COMMON,
  "agent": AGENT,
  "world_model": WORLD,
  "rollout_batch_size": 4,
  "epoch_length": 4,
}
SIZES = {"horizon": 2, "samples": 6, "iterations": 2, "elites": 2}
AHEAD = {
  **COMMON, "world_model": WORLD,
  "lookahead": LookaheadConfig(**SIZES, policy_plans=2, particles=2),
}  # fmt: skip
PETS = pets.Config(
  trials=3,
  log_predictions=True,
  model=ModelConfig(members=2, hidden=(4,), weight_decay=(0.0,)),
  fit=FitConfig(epochs=2, batch_size=8),
  planner=PlannerConfig(
    horizon=2, iterations=2, particles=4, settings={"samples": 6, "elites": 2}
  ),
)
MBMF = mbmf.Config(
  **COMMON,
  validation_every=2,
  model=PETS.model,
  fit=MixedFitConfig(epochs=2, batch_size=4),
  planner=PlannerConfig("random_shooting", 1, horizon=2, particles=4, settings={"samples": 6}),
)
ON_POLICY = {
  "steps": 12,
  "batch": 4,
  "policy": PolicyConfig(hidden=(4,)),
  "baseline": BaselineConfig(hidden=(4,), batch_size=3, epochs=2),
}
TWO = {"rollout_schedule": (0, 1, 2, 2), "samples": 3}
GAME = {
  "policy_steps": 2, "paths": 3, "horizon": 3, "buffer_share": 0.5, "capacity": 12,
  "world_model": DifferenceModelConfig(
    members=2, hidden=(4,), batch_size=8, epochs=2, learn_reward=True, reward_hidden=(4,)
  ),
  "policy": PolicyConfig(hidden=(4,)),
  "baseline": BaselineConfig(hidden=(4,), batch_size=8),
}  # fmt: skip
CONFIGS = {
  "sac": sac.Config(**COMMON, agent=AGENT),
  "pets": PETS,
  "mbmf": MBMF,
  "mbpo": mbpo.Config(**IMAGINED, rollout_schedule=(0, 1, 1, 2)),
  "mopac": mopac.Config(**IMAGINED, **TWO),
  "mopac as released": mopac.Config(**IMAGINED, **TWO, as_released=True),
  "demorl": demorl.Config(**AHEAD, agent=AGENT, model_buffer_size=50),
  "loop": loop.Config(**AHEAD, agent=AGENT),
  "demo_layer": demo_layer.Config(**AHEAD, directions=1, top=1),
  "pal": game.Config(**COMMON, **GAME, action_repeat=2),
  "mal": game.MALConfig(**COMMON, **{**GAME, "baseline": BaselineConfig("linear")}),
  "dagger": dagger.Config(
    dataset="there.npz",
    steps=12,
    update_every=4,
    epochs=2,
    batch_size=8,
    label_batch_size=3,
    model=ModelConfig("D", "E", 1, (4,), weight_decay=(0.0,)),
    planner=PlannerConfig("random_shooting", 1, 2, 1, settings={"samples": 6}),
    policy=PolicyConfig(hidden=(4,)),
  ),
  "morel": morel.Config(dataset="there.npz", steps=12, update_every=4, **GAME),
  "npg": npg.Config(**ON_POLICY),
  "trpo": trpo.Config(**{**ON_POLICY, "baseline": BaselineConfig(kind="linear")}),
}
QUICK = ("sac", "pets", "npg")


def test_recorder_detects_reuse():
  for consume in (
    lambda key: (jax.random.split(key), jax.random.normal(key)),
    lambda key: (jax.random.split(key), jax.random.fold_in(key, 0)),
    lambda key: (jax.random.split(key), jax.random.split(key, 3)),
    lambda key: [jax.random.bits(jax.random.fold_in(key, i % 2)) for i in range(3)],
    lambda key: jax.lax.scan(lambda c, _: (c, jax.random.bits(key)), 0, length=2),
  ):
    recorder = Recorder()
    jax.block_until_ready(jax.tree.map(_data, jax.jit(consume)(recorder.key(0))))
    assert recorder.violations()


def _data(leaf):
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return jax.random.key_data(leaf) if is_key else leaf


def test_recorder_accepts_valid_use():
  def consume(key):
    draw_key, many_key, counted = jax.random.split(key, 3)
    numbers = jax.vmap(jax.random.normal)(jax.random.split(many_key, 5))
    folded = [jax.random.uniform(jax.random.fold_in(counted, i)) for i in range(3)]
    return jax.random.permutation(draw_key, 4), numbers, folded

  recorder = Recorder()
  jax.block_until_ready(jax.jit(consume)(recorder.key(0)))
  assert not recorder.violations() and len(recorder.consumed) > 10


@pytest.mark.parametrize(
  "name",
  [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS],
)
def test_an_algorithm_consumes_every_key_once(name):
  """Random steps, the first fit, and acting and learning after it."""
  env = make_env("pendulum", episode_length=6)
  algorithm = make_algorithm(name.removesuffix(" as released"), env.spec, CONFIGS[name])
  recorder = Recorder()
  state = jax.jit(lambda key: init_state(algorithm, env, key))(recorder.key(0))
  step = make_step(algorithm, env, steps=4)
  for _ in range(4):
    state, _ = step(state)
  jax.block_until_ready(state)
  assert not recorder.violations() and len(recorder.consumed) > 40
  if name == "sac":
    evaluate = make_evaluation(algorithm, env, episodes=2)
    jax.block_until_ready(evaluate(algorithm.params(state), recorder.key(1)))
    assert not recorder.violations()


def test_initial_keys_of_a_run_are_unrelated():
  """Such as MBPO's, one of which is split at each step and one folded in each epoch."""
  algorithm = make_algorithm("mbpo", make_env("pendulum").spec, CONFIGS["mbpo"])
  state = jax.jit(algorithm.init)(jax.random.key(0))
  keys = {tuple(_data(key).tolist()) for key in (state.key, state.learn.run_key)}
  children = jax.random.split(state.key, 50), jax.random.split(state.learn.run_key, 50)
  rows = [tuple(row) for key in children for row in jax.random.key_data(key).tolist()]
  assert len(keys) == 2 and len(set(rows)) == 100 and keys.isdisjoint(rows)


def noisy_point(**options):
  """Returns the dynamics of a noisy point mass, which consumes a key at each step."""

  def step(params, state, action, key):
    state = state + action + 0.1 * jax.random.normal(key, state.shape)
    return state, -jnp.sum(jnp.square(state)), jnp.zeros((), bool)

  return Dynamics(step, **options)


def plan_twice(search, evaluate, proposals=()):
  """Returns the recorder after two control steps."""
  box = {"horizon": 3, "action_low": [-1.0] * 2, "action_high": [1.0] * 2, "iterations": 2}
  planner = make_planner(search, evaluate, proposals=proposals, **box)
  recorder, plan_state, plan = Recorder(), planner.init(), jax.jit(planner.plan)
  for seed in range(2):
    output, plan_state = plan(None, jnp.zeros(2), plan_state, recorder.key(seed))
  jax.block_until_ready(output)
  return recorder


@pytest.mark.parametrize("name", [*SEARCHES, "evosax"])
def test_a_search_consumes_every_key_once(name):
  if name == "evosax":
    pytest.importorskip("evosax")
    search = evosax("PSO", samples=6)
  else:
    elites = name in ("cem", "icem", "mirror_descent", "categorical")
    search = SEARCHES[name](6, **({"elites": 2} if elites else {}))
  recorder = plan_twice(search, make_evaluate(noisy_point()))
  assert not recorder.violations() and len(recorder.consumed) > 40


def test_evaluation_and_proposals_consume_every_key_once():
  dynamics = noisy_point(slices=2, shuffle=True)
  policy = lambda params, state, key: 0.1 * jax.random.normal(key, (2,))
  terminal = lambda params, state, key: jax.random.uniform(key)
  evaluate = make_evaluate(dynamics, particles=4, terminal=terminal)
  proposals = [policy_plans(dynamics, policy, horizon=3, count=count) for count in (1, 3)]
  recorder = plan_twice(SEARCHES["random_shooting"](6), evaluate, proposals)
  assert not recorder.violations() and len(recorder.consumed) > 200


NOISY = {
  "pendulum": {"action_noise": 0.1},
  "dclaw_turn": {"variant": "random"},
  "swimmer_follow": {},
  "point_mass": {},
  "hopper": {"randomise": {"count": 2, "masses": (0.8, 1.2)}},
}


@pytest.mark.parametrize("name", NOISY)
def test_a_task_consumes_every_key_once(name):
  env, recorder = make_env(name, **NOISY[name]), Recorder()

  def episode(key):
    reset_key, *keys = jax.random.split(key, 3)
    state = env.reset(reset_key)
    for step_key in keys:
      state, _ = env.step(state, jnp.zeros(env.spec.action_dim), step_key)
    return state.obs

  jax.block_until_ready(jax.jit(jax.vmap(episode))(jax.random.split(recorder.key(0), 2)))
  assert not recorder.violations() and recorder.consumed


def test_a_planned_episode_consumes_every_key_once():
  """The loop of ``experiments.plan`` folds the step number into one key."""
  env = make_env("pendulum", action_noise=0.1)
  planner = make_planner(
    SEARCHES["random_shooting"](4),
    make_evaluate(env_dynamics(env)),
    horizon=2,
    action_low=env.spec.action_low,
    action_high=env.spec.action_high,
  )
  setup = types.SimpleNamespace(env=env, planner=planner, translate=lambda x: x, model=env)
  control, recorder = make_control(setup, candidates=2), Recorder()

  def body(carry, key):
    state, before = carry
    output, after, action = control.plan(state, before, key)
    control.look(state, before, output.plan, key)
    state, *_ = control.move(state, action, key)
    return (state, after), output.value

  def episode(key):
    return jax.lax.scan(lambda c, _: body(c, key), control.start(key), length=3)[1]

  jax.block_until_ready(jax.jit(episode)(recorder.key(0)))
  assert not recorder.violations() and len(recorder.consumed) > 20


def test_streams_of_one_seed_are_disjoint():
  """Also from the splits of the seed's key, and for several seeds."""
  found = []
  for seed in (0, 1, 7):
    for key in (
      jax.random.key(seed), stream_key("evaluation", seed), stream_key("models", seed)
    ):  # fmt: skip
      for branch in (key[None], jax.random.split(key, 20)):
        found += [tuple(row) for row in jax.random.key_data(branch).tolist()]
  assert len(set(found)) == len(found) == 3 * 3 * 21
  np.testing.assert_array_equal(
    jax.random.key_data(stream_key("models", 5)),
    jax.random.key_data(jax.jit(lambda seed: stream_key("models", seed))(5)),
  )
