"""Closes the loop between a planner and a task, as pure functions.

The same four functions make an episode in one compiled scan and one that the host steps
through, times and displays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.plan.setup import Setup
from mbrl_jax.envs import env_dynamics
from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options
from mbrl_jax.types import Array, EnvState, Key, PlanState

_RESET = 2**31 - 1


class Moment(NamedTuple):
  """One control step, or an episode with a leading axis ``[T]``.

  Attributes:
    pose: before the step, ``[Q]``.
    reward: of the step, ``[]``.
    terminated: whether the task terminated, ``[]``.
    value: best return among the candidates, ``[]``.
    nonfinite: plans without a finite return, ``[]``.
    iterations: iterations of the search; 0 where an earlier plan is executed, ``[]``.
    trace_poses: predicted poses of the executed plan and of the candidates, ``[1 + N, K, Q]``.
    trace_returns: of these plans, ``[1 + N]``.
  """

  pose: Any
  reward: Any
  terminated: Any
  value: Any
  nonfinite: Any
  iterations: Any
  trace_poses: Any
  trace_returns: Any


class Control(NamedTuple):
  """The functions of a closed loop, compiled or not.

  Attributes:
    start: ``(key) -> (state, plan_state)``.
    plan: ``(state, plan_state, key) -> (PlanOutput, plan_state, action)``; ``action`` is the
      one that the task receives now: with latency, it was chosen earlier.
    look: ``(state, plan_state, plan [H, A], key) -> (poses, returns)`` of a new plan and of
      candidates drawn from the plan state BEFORE it, see ``Moment``.
    move: ``(state, action, key) -> (state, pose, reward, terminated)``.
  """

  start: Callable[..., Any]
  plan: Callable[..., Any]
  look: Callable[..., Any]
  move: Callable[..., Any]


def make_control(setup: Setup, candidates: int) -> Control:
  """Makes the functions of a closed loop.

  Every function takes the key of the episode and folds in the number of the step; ``start``
  folds in a number that no step has.

  Args:
    setup: task and planner.
    candidates: plans to draw for display, in addition to the executed one.
  """
  env, planner = setup.env, setup.planner

  def start(key: Key) -> tuple[EnvState, PlanState]:
    return env.reset(jax.random.fold_in(key, _RESET)), planner.init()

  def plan(state: EnvState, plan_state: PlanState, key: Key) -> tuple:
    key = _step_key(key, state, 0)
    output, after = planner.plan(None, setup.translate(state), plan_state, key)
    pending = jnp.concatenate([plan_state.committed, output.action[None]])
    return output, after, pending[0]

  def look(state: EnvState, before: PlanState, plan: Array, key: Key) -> tuple[Array, Array]:
    draw_key, roll_key = jax.random.split(_step_key(key, state, 1))
    # A search may return another number of samples than requested.
    drawn = planner.sample(before, draw_key, max(candidates, 1))[:candidates]
    plans = jnp.concatenate([plan[None], drawn])
    head = jnp.broadcast_to(before.committed, (len(plans), *before.committed.shape))
    plans = jnp.concatenate([head, plans], axis=1)
    return roll_poses(setup, setup.translate(state), plans, roll_key)

  def move(state: EnvState, action: Array, key: Key) -> tuple:
    after, transition = env.step(state, action, _step_key(key, state, 2))
    return after, env.pose(state), transition.reward, transition.terminated

  return Control(start, plan, look, move)


def roll_poses(setup: Setup, state: EnvState, plans: Array, key: Key) -> tuple[Array, Array]:
  """Rolls out ``plans [N, H, A]``.

  Returns:
    The poses ``[N, H + 1, Q]`` and the returns ``[N]``.
  """
  dynamics, pose = env_dynamics(setup.model), setup.model.pose

  def roll(plan: Array, key: Key) -> tuple[Array, Array]:
    def body(state: EnvState, x: tuple[Array, Key]) -> tuple[EnvState, tuple]:
      state, reward, _ = dynamics.step(None, state, *x)
      return state, (pose(state), reward)

    keys = jax.random.split(key, len(plan))
    _, (poses, rewards) = jax.lax.scan(body, state, (plan, keys))
    return jnp.concatenate([pose(state)[None], poses]), jnp.sum(rewards)

  return jax.vmap(roll)(plans, jax.random.split(key, len(plans)))


def compile_control(control: Control, key: Key) -> tuple[Control, dict[str, float]]:
  """Compiles every function ahead of time and calls it once.

  Returns:
    The compiled functions, which cannot retrace, and the compile time of each in seconds.
  """
  seconds, functions = {}, {}

  def build(name: str, *arguments: Any) -> Any:
    jitted = jax.jit(getattr(control, name), compiler_options=compiler_options())
    functions[name], seconds[name] = compile_ahead(jitted, *arguments)
    return jax.block_until_ready(functions[name](*arguments))

  state, plan_state = build("start", key)
  output, _, action = build("plan", state, plan_state, key)
  build("look", state, plan_state, output.plan, key)
  build("move", state, action, key)
  return Control(**functions), seconds


def compile_episode(control: Control, steps: int, key: Key) -> tuple[Callable, float]:
  """Compiles ``(key) -> Moment [T, ...]``, a whole episode as one program.

  Returns:
    The function and its compile time in seconds.
  """

  def body(carry: tuple[EnvState, PlanState], key: Key) -> tuple[tuple, Moment]:
    state, before = carry
    output, after, action = control.plan(state, before, key)
    traces = control.look(state, before, output.plan, key)
    state, pose, reward, terminated = control.move(state, action, key)
    return (state, after), moment(output, (pose, reward, terminated), traces)

  def episode(key: Key) -> Moment:
    return jax.lax.scan(lambda c, _: body(c, key), control.start(key), length=steps)[1]

  return compile_ahead(jax.jit(episode, compiler_options=compiler_options()), key)


def moment(output: Any, moved: tuple[Any, Any, Any], traces: tuple[Any, Any]) -> Moment:
  """Combines the results of the three functions of a step."""
  metrics = output.metrics
  return Moment(*moved, output.value, metrics["nonfinite"], metrics["iterations"], *traces)


def finish(moments: Moment) -> Moment:
  """Cuts an episode ``[T, ...]`` at its termination; holds traces until the next replan."""
  ended = np.flatnonzero(moments.terminated)
  length = int(ended[0]) + 1 if len(ended) else len(moments.reward)
  replanned = np.asarray(moments.iterations) > 0
  latest = np.maximum.accumulate(np.where(replanned, np.arange(len(replanned)), 0))
  held = {name: getattr(moments, name)[latest] for name in ("trace_poses", "trace_returns")}
  return jax.tree.map(lambda x: np.asarray(x)[:length], moments._replace(**held))


def float_settings(plan_state: PlanState, names: set[str]) -> dict[str, float]:
  """Returns the scalar floats of a search that a user may set, by name.

  Args:
    plan_state: state of the planner.
    names: keywords of the search's factory. Only these floats, and those below ``params``, are
      settings; others, such as the best return so far, are results of the search. If none of
      the floats is a keyword, all are returned.
  """
  leaves = {
    _name(path): float(leaf)
    for path, leaf in jax.tree.flatten_with_path(plan_state.search)[0]
    if jnp.shape(leaf) == () and jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
  }
  own = {k: v for k, v in leaves.items() if k in names or k.startswith("params.")}
  return own or leaves


def with_floats(plan_state: PlanState, values: dict[str, float]) -> PlanState:
  """Replaces scalar floats of the search's state; each keeps its dtype."""
  if not values:
    return plan_state

  def replace(path: Any, leaf: Any) -> Any:
    name = _name(path)
    return np.asarray(values[name], leaf.dtype) if name in values else leaf

  search = jax.tree.map_with_path(replace, plan_state.search)
  if "tolerance" in values:
    plan_state = plan_state._replace(tolerance=np.float32(values["tolerance"]))
  return plan_state._replace(search=search)


def _name(path: Any) -> str:
  return jax.tree_util.keystr(path, simple=True, separator=".")


def _step_key(key: Key, state: EnvState, stream: int) -> Key:
  return jax.random.fold_in(jax.random.fold_in(key, state.steps), stream)
