"""Builds tasks in which an agent that observes its centre of mass follows a path.

The memory holds the active segment and the start of the path, and the observation ends with
both, so the reward, the negative cost of ``waypoints``, is a function of ``(obs, action,
next_obs)``. A learned model gets and predicts the body only: ``decode`` computes the next
segment by the same functions as the simulator.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Memory, Task
from mbrl_jax.envs.tasks.mbmf import rllab, waypoints
from mbrl_jax.envs.tasks.mbmf.waypoints import Path
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, Key

LAST_SEGMENT = 5
"""In the published form an episode ends after this segment."""


class Walker(NamedTuple):
  """A body that can follow a path.

  Attributes:
    name: name of the task.
    paths: the paths by name.
    initial: ``(reset, heading) -> Task.initial``.
    load: ``(change) -> MjModel``, see ``rllab.load_rllab``.
    dt: seconds of a control step.
    size: ``n``.
    plane: axes of the centre of mass in which the path lies.
    level: coordinate on the third axis at which the path is drawn, metres.
    cost: ``(Path, segment, body [n], distance, gain) -> []``, see ``waypoints``.
    terminated: ``(body, action, next body) -> [] bool``.
    encode: ``(body) -> features`` for learned models.
    observe: ``(PhysicsState) -> [n]``; ends with ``rllab.SENSORS``.
  """

  name: str
  paths: Mapping[str, Path]
  initial: Callable[[str, float], Initial]
  load: Callable[[Callable[[mujoco.MjSpec], None]], mujoco.MjModel]
  dt: float
  size: int
  plane: tuple[int, int]
  level: float
  cost: Callable[..., Array]
  terminated: Callable[[Array, Array, Array], Array]
  encode: Callable[[Array], Array] = lambda body: body
  observe: Callable[[PhysicsState], Array] = rllab.observe


def make_follow(
  agent: Walker,
  physics: str = "auto",
  *,
  path: str = "straight",
  reset: str = "mpc",
  as_released: bool = False,
) -> Task:
  """Builds a task of 1000 control steps in which ``agent`` follows a path.

  Args:
    agent: the body.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    path: one of ``agent.paths``.
    reset: ``"mpc"`` or ``"data"``, distribution of initial states.
    as_released: use the published form, see ``waypoints``.

  Raises:
    ValueError: an unknown path, reset or physics.
  """
  route = agent.paths[validate.choice("path", path, sorted(agent.paths))]
  initial = agent.initial(reset, route.heading)
  follower = Follower(agent, route, as_released)
  return rllab.make_rllab(
    agent.name,
    agent.load(follower.draw),
    physics,
    dt=agent.dt,
    reward=follower.reward,
    terminated=follower.terminated,
    initial=initial,
    observe=follower.observe,
    memory=Memory(follower.start, follower.update),
    marks=follower.marks,
    encode=follower.encode,
    target=follower.target,
    decode=follower.decode,
  )


@dataclasses.dataclass(frozen=True, eq=False)
class Follower:
  """The functions of a task in which ``agent`` follows ``path``.

  Memory, and end of the observation: ``[segment, start [2]]``, and in the published form
  whether a new segment has been reached since the real state, ``[4]``.
  """

  agent: Walker
  path: Path
  as_released: bool

  def start(self, key: Key, physics: PhysicsState) -> Array:
    """Returns the start of the path, at the centre of mass."""
    del key
    start = jnp.concatenate([jnp.zeros(1), physics.sensors[np.array(self.agent.plane)]])
    return jnp.append(start, 0.0) if self.as_released else start

  def update(self, before: PhysicsState, action: Array, after: PhysicsState) -> Array:
    """Updates the active segment; in the published form every real state starts a new plan."""
    del action
    memory = self._move(before.memory, after.sensors[np.array(self.agent.plane)])
    return memory.at[3].set(0.0) if self.as_released else memory

  def observe(self, physics: PhysicsState) -> Array:
    """Returns the observation of the body and the memory."""
    return jnp.concatenate([self.agent.observe(physics), physics.memory])

  def reward(self, obs: Array, action: Array, next_obs: Array) -> Array:
    """Returns the negative cost of the state after the step."""
    del action
    points = self.path.points
    (body, memory), (next_body, next_memory) = self._split(obs), self._split(next_obs)
    here, there = self._place(body), self._place(next_body)
    here, there = here - memory[1:3], there - next_memory[1:3]
    segment, next_segment = memory[0], next_memory[0]
    if self.as_released:
      gain = waypoints.progress(points, next_segment, there)
      moved = (next_segment != segment) | (next_memory[3] > 0)
      gain = gain - jnp.where(moved, 0.0, waypoints.progress(points, segment, here))
    else:
      gain = waypoints.travelled(points, next_segment, there)
      gain = gain - waypoints.travelled(points, segment, here)
    off = waypoints.distance(points, next_segment, there)
    return -self.agent.cost(self.path, next_segment, next_body, off, gain)

  def terminated(self, obs: Array, action: Array, next_obs: Array) -> Array:
    """True if the body terminates; in the published form also after ``LAST_SEGMENT``."""
    (body, _), (next_body, memory) = self._split(obs), self._split(next_obs)
    ended = self.agent.terminated(body, action, next_body)
    return ended | (memory[0] > LAST_SEGMENT) if self.as_released else ended

  def encode(self, obs: Array) -> Array:
    """Returns the features of learned models, without the path."""
    return self.agent.encode(self._split(obs)[0])

  def target(self, obs: Array, next_obs: Array) -> Array:
    """Returns the changes of the body, and zeros for the memory, which ``decode`` computes."""
    (body, memory), (next_body, _) = self._split(obs), self._split(next_obs)
    return jnp.concatenate([next_body - body, jnp.zeros_like(memory)])

  def decode(self, obs: Array, target: Array) -> Array:
    """Returns the next observation, with its active segment."""
    body, memory = self._split(obs)
    body = body + target[: self.agent.size]
    return jnp.concatenate([body, self._move(memory, self._place(body))])

  def draw(self, spec: mujoco.MjSpec) -> None:
    """Adds the path and the next way-point as mocap bodies."""
    path = spec.worldbody.add_body(name="path", mocap=True)
    corners = [np.array(self._lift(point)) for point in self.path.points]
    green, sphere = (0.2, 0.62, 0.36, 0.7), mujoco.mjtGeom.mjGEOM_SPHERE
    for corner in corners:
      path.add_site(type=sphere, pos=corner, size=(0.06, 0, 0), rgba=green)
    for ends in itertools.pairwise(corners):
      path.add_site(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=np.concatenate(ends),
        size=(0.015, 0, 0),
        rgba=green,
      )
    ahead = spec.worldbody.add_body(name="next", mocap=True)
    ahead.add_site(type=sphere, size=(0.12, 0, 0), rgba=(0.93, 0.76, 0.2, 0.8))

  def marks(self, physics: PhysicsState) -> Array:
    """Returns the poses of the path and of the end of the active segment."""
    segment, start = physics.memory[0], physics.memory[1:3]
    points = jnp.asarray(self.path.points, jnp.float32)
    ahead = start + points[segment.astype(int) + 1]
    places = [*self._lift(start, self.agent.level), *self._lift(ahead, self.agent.level)]
    return jnp.stack([jnp.float32(x) for x in (*places, *(1, 0, 0, 0) * 2)])

  def _split(self, obs: Array) -> tuple[Array, Array]:
    """Returns the observation of the body and the memory."""
    return obs[: self.agent.size], obs[self.agent.size :]

  def _place(self, body: Array) -> Array:
    """Returns the centre of mass in the plane of the path ``[2]``."""
    first = self.agent.size - 6  # the last six are the centre of mass and its velocity
    return jnp.stack([body[first + axis] for axis in self.agent.plane])

  def _move(self, memory: Array, place: Array) -> Array:
    """Returns the memory with the centre of mass at ``place [2]``."""
    segment = waypoints.advance(
      self.path.points, memory[0], place - memory[1:3], self.as_released
    )
    moved = memory.at[0].set(segment)
    if self.as_released:
      moved = moved.at[3].set(jnp.where(segment != memory[0], 1.0, memory[3]))
    return moved

  def _lift(self, point: Any, level: float = 0.0) -> list[Any]:
    """Returns the three coordinates of a point ``[2]`` of the plane."""
    space = [level] * 3
    for axis, value in zip(self.agent.plane, point, strict=True):
      space[axis] = value
    return space
