"""Adapts an environment on the host to ``types.Env``.

The environment follows Gymnasium's protocol and runs on the host; compiled code calls back to
it. ``jit``, ``scan`` and ``vmap`` work, and a batch is one call with an instance for each row.
The environment is a pure function: its state holds the seed of the episode and the actions so
far, from which every state can be reached again (see ``host``).
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
    token: identifies the state on the host ``[2]`` uint32.
    actions: taken in this episode ``[T, A]``, zero for later steps; ``[0, A]`` if episodes are
      not replayed.
    obs: observation ``[O]``.
    pose: positions for a renderer ``[Q]``.
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

  After the end of an episode the state stays the same and the reward is zero, until ``reset``
  or ``restart``.

  Attributes:
    spec: static description for learners and planners.
    hosts: resets and steps the instances.
    reward, terminated: the user's functions; ``None``: the environment's own values.
    replay: whether the state holds the actions of its episode.
    model: MuJoCo model for rendering; ``None``: the environment has none.
  """

  spec: EnvSpec
  hosts: VectorHost
  reward: RewardFn | None = None
  terminated: TerminationFn | None = None
  replay: bool = True
  model: mujoco.MjModel | None = None

  @property
  def max_envs(self) -> int | None:
    """Largest number of parallel environments: 1 for an instance; ``None``: no limit."""
    return self.hosts.max_rows

  @single
  def reset(self, key: Key) -> EnvState:
    """Starts an episode: ``reset(seed=...)`` with a seed drawn with ``key``."""
    return self._begin(np.ones((), bool), key, np.zeros(2, np.uint32))

  @single
  def restart(self, done: Array, state: EnvState, key: Key) -> EnvState:
    """Starts a new episode if ``done``, else returns ``state`` unchanged."""
    token = state.physics.token
    return jax.lax.cond(done, lambda: self._begin(done, key, token), lambda: state)

  @single
  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step; all randomness comes from the seed, so ``key`` is unused."""
    del key
    before, action = state.physics, jnp.asarray(action, jnp.float32)
    sent = jnp.clip(action, self.spec.action_low, self.spec.action_high)
    arguments = before.seed, before.token, state.steps, before.actions, before.obs, before.ended
    # The host returns the action because XLA may compute it twice with different rounding: only
    # the action that the environment received leads to the same state again.
    token, sent, start, obs, pose, reward, terminated, truncated, lost = host_call(
      self.hosts.step, self._shapes, *arguments, sent
    )
    steps = jnp.where(lost, 1, state.steps + ~before.ended)
    own = Transition(start, action, reward, obs, terminated, truncated)
    transition = self._apply_task(before, own, steps)
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
    """Returns the generalised positions ``[Q]`` of a MuJoCo environment, else ``[O]``."""
    return state.physics.pose

  def close(self) -> None:
    """Closes all instances; a later step makes new ones."""
    self.hosts.close()

  @property
  def _shapes(self) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of one row of ``step_data.OutputBatch``."""
    real = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)
    flag, token = jax.ShapeDtypeStruct((), bool), jax.ShapeDtypeStruct((2,), np.uint32)
    obs, pose = real(self.hosts.local.obs_dim), real(self.hosts.local.pose_dim)
    action = real(self.spec.action_dim)
    return token, action, obs, obs, pose, real(), flag, flag, flag

  def _begin(self, wanted: Array | np.ndarray, key: Key, ended: Array | np.ndarray) -> EnvState:
    """Starts an episode if ``wanted``; ``ended`` is the token of the state that it replaces."""
    seed = jax.random.bits(key, (), np.uint32)
    token, obs, pose = host_call(
      self.hosts.reset, (self._shapes[0], *self._shapes[3:5]), wanted, seed, ended
    )
    length = self.spec.episode_length if self.replay else 0
    actions, no = jnp.zeros((length, self.spec.action_dim)), jnp.zeros((), bool)
    physics = HostState(seed, token, actions, obs, pose, ended=no, terminated=no)
    return EnvState(physics, obs, jnp.zeros((), jnp.int32))

  def _apply_task(self, before: HostState, own: Transition, steps: Array) -> Transition:
    """Applies the user's reward and termination, and the time limit."""
    inputs = own.obs, own.action, own.next_obs
    reward = own.reward if self.reward is None else self.reward(*inputs)
    terminated = own.terminated if self.terminated is None else self.terminated(*inputs)
    over = own.terminated | own.truncated | (steps >= self.spec.episode_length) | before.ended
    terminated = jnp.where(before.ended, before.terminated, terminated)
    return own._replace(
      reward=jnp.where(before.ended, 0.0, jnp.float32(reward)),
      terminated=terminated,
      truncated=over & ~terminated,
    )
