"""Puts an environment that lives on the host behind ``types.Env``.

It follows Gymnasium's protocol and runs where it is; compiled code calls it: ``jit``,
``scan`` and ``vmap`` work, and a batch is one call with an instance for each row. To the
outside it is a pure function: the state holds the seed of the episode and the actions so
far, by which any state can be reached again (see ``host``).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.adapters.host.vector_host import VectorHost
from mbrl_jax.envs.physics.host_call import host_call
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Array, EnvSpec, EnvState, Key, RewardFn, TerminationFn, Transition


class HostState(NamedTuple):
  """The state of an environment on the host.

  Attributes:
    seed: of the episode ``[]`` uint32.
    token: names the state to the host ``[2]`` uint32.
    actions: taken in this episode ``[T, A]``, zero where it has not come to; ``[0, A]`` where
      episodes are not to be replayed.
    obs: observation ``[O]``.
    pose: what a renderer needs ``[Q]``.
    ended: whether the episode is over ``[]`` bool.
    terminated: whether it terminated ``[]`` bool.
  """

  seed: Array
  token: Array
  actions: Array
  obs: Array
  pose: Array
  ended: Array
  terminated: Array


@dataclasses.dataclass(frozen=True, eq=False)
class HostEnv:
  """An environment on the host; see ``from_gymnasium``.

  After the end of an episode nothing moves any more: a step gives no reward and leads
  nowhere, until ``reset`` or ``restart``.

  Attributes:
    spec: what learners and planners may know.
    hosts: the instances.
    reward, terminated: the user's, or ``None``: the environment's own.
    replay: whether the state holds the actions of its episode.
    model: the MuJoCo model of a MuJoCo-based environment, to draw it, else ``None``.
  """

  spec: EnvSpec
  hosts: VectorHost
  reward: RewardFn | None = None
  terminated: TerminationFn | None = None
  replay: bool = True
  model: mujoco.MjModel | None = None

  @property
  def max_envs(self) -> int | None:
    """How many of it there can be at once: 1 of a given instance, ``None``: any number."""
    return self.hosts.max_rows

  @single
  def reset(self, key: Key) -> EnvState:
    """Begins an episode, ``reset(seed=...)`` with a seed drawn by ``key``."""
    return self._begin(np.ones((), bool), key, np.zeros(2, np.uint32))

  @single
  def restart(self, done: Array, state: EnvState, key: Key) -> EnvState:
    """Returns ``state``, or a new episode where ``done``; other rows are not touched."""
    token = state.physics.token
    return jax.lax.cond(done, lambda: self._begin(done, key, token), lambda: state)

  @single
  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step; all randomness comes from the seed, so ``key`` is unused."""
    del key
    before, action = state.physics, jnp.asarray(action, jnp.float32)
    sent = jnp.clip(action, self.spec.action_low, self.spec.action_high)
    arguments = before.seed, before.token, state.steps, before.actions, before.obs, before.ended
    # The action comes back because XLA may compute it twice, rounded differently: only what the
    # environment was given leads to the same state again.
    token, sent, start, obs, pose, reward, terminated, truncated, lost = host_call(
      self.hosts.step, self._shapes, *arguments, sent
    )
    steps = jnp.where(lost, 1, state.steps + ~before.ended)
    own = Transition(start, action, reward, obs, terminated, truncated)
    transition = self._judge(before, own, steps)
    ended = transition.terminated | transition.truncated
    actions = before.actions
    if self.replay:
      actions = actions.at[state.steps].set(sent, mode="drop")
    physics = HostState(
      seed=before.seed,
      token=token,
      actions=actions,
      obs=obs,
      pose=jnp.where(before.ended, before.pose, pose),
      ended=ended,
      terminated=transition.terminated,
    )
    return EnvState(physics, obs, steps), transition

  def observe(self, physics: HostState) -> Array:
    """Returns the observation ``[O]`` of a state."""
    return physics.obs

  def pose(self, state: EnvState) -> Array:
    """Returns the generalised positions of a MuJoCo-based environment, else the observation."""
    return state.physics.pose

  def close(self) -> None:
    """Closes all instances; a step after that makes new ones."""
    self.hosts.close()

  @property
  def _shapes(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of ``host.Stepped``."""
    real = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)
    flag, token = jax.ShapeDtypeStruct((), bool), jax.ShapeDtypeStruct((2,), np.uint32)
    obs, pose = real(self.hosts.own.obs_dim), real(self.hosts.own.pose_dim)
    action = real(self.spec.action_dim)
    return token, action, obs, obs, pose, real(), flag, flag, flag

  def _begin(self, wanted: Array, key: Key, ended: Array) -> EnvState:
    seed = jax.random.bits(key, (), np.uint32)
    token, obs, pose = host_call(
      self.hosts.reset, (self._shapes[0], *self._shapes[3:5]), wanted, seed, ended
    )
    length = self.spec.episode_length if self.replay else 0
    actions, no = jnp.zeros((length, self.spec.action_dim)), jnp.zeros((), bool)
    physics = HostState(seed, token, actions, obs, pose, ended=no, terminated=no)
    return EnvState(physics, obs, jnp.zeros((), jnp.int32))

  def _judge(self, before: HostState, own: Transition, steps: Array) -> Transition:
    """Puts the user's functions in, and the time limit."""
    judged = own.obs, own.action, own.next_obs
    reward = own.reward if self.reward is None else self.reward(*judged)
    terminated = own.terminated if self.terminated is None else self.terminated(*judged)
    over = own.terminated | own.truncated | (steps >= self.spec.episode_length) | before.ended
    terminated = jnp.where(before.ended, before.terminated, terminated)
    return own._replace(
      reward=jnp.where(before.ended, 0.0, jnp.float32(reward)),
      terminated=terminated,
      truncated=over & ~terminated,
    )
