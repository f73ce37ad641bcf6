"""Small environments that follow Gymnasium's protocol without Gymnasium or jax."""

import threading
import time
from types import SimpleNamespace

import numpy as np


class Box:
  """A box."""

  def __init__(self, low, high, dtype=np.float32):
    self.low, self.high = np.asarray(low, dtype), np.asarray(high, dtype)
    self.shape, self.dtype = self.low.shape, np.dtype(dtype)

  def contains(self, x):
    kind = isinstance(x, np.ndarray) and (x.shape, x.dtype) == (self.shape, self.dtype)
    return kind and bool(((self.low <= x) & (x <= self.high)).all())


class Discrete:
  """A discrete space of ``n`` elements."""

  shape = ()

  def __init__(self, n, start=0):
    self.n, self.start = n, start


class Dict:
  """A dictionary of spaces."""

  def __init__(self, **spaces):
    self.spaces = spaces


class Walk:
  """A noisy random walk on a line that ends beyond 2, after 12 steps or by an injected fault.

  Attributes:
    made: number of instances.
    resets, steps: number of calls of all instances.
    threads: ids of the calling threads.
  """

  made = resets = steps = 0
  threads: set = frozenset()
  observation_space = Box([-9.0] * 2, [9.0] * 2)
  action_space = Box([-1.0], [1.0])
  spec = SimpleNamespace(id="Walk-v0", max_episode_steps=12)
  metadata = {"render_fps": 20}  # noqa: RUF012

  @classmethod
  def fresh(cls, **fields):
    """Makes a class with separate counters."""
    return type(
      "Walk", (cls,), {"made": 0, "resets": 0, "steps": 0, "threads": set(), **fields}
    )

  noise = 0.3
  limit = 2.0
  fault = None  # (step of the episode, "raise" | "hang" | function of the returned tuple)
  seeded = True

  def __init__(self):
    type(self).made += 1
    type(self).threads.add(threading.get_ident())

  @property
  def unwrapped(self):
    return self

  def reset(self, *, seed=None, options=None):
    type(self).resets += 1
    type(self).threads.add(threading.get_ident())
    self.random = np.random.default_rng(seed if self.seeded else None)
    self.place, self.count = self.random.normal(scale=0.1), 0
    return self._show(), {}

  def step(self, action):
    type(self).steps += 1
    type(self).threads.add(threading.get_ident())
    assert action.shape == (1,) and action.dtype == np.float32 and abs(action[0]) <= 1
    self.count += 1
    if self.fault is not None and self.count == self.fault[0]:
      if self.fault[1] == "hang":
        time.sleep(5)
      if self.fault[1] == "raise":
        raise RuntimeError("the wheel came off")
      return self.fault[1](self._take(action))
    return self._take(action)

  def _take(self, action):
    self.place += float(action[0]) + self.noise * self.random.normal()
    return self._show(), self.place, abs(self.place) > self.limit, self.count >= 12, {}

  def close(self):
    pass

  def _show(self):
    return np.array([self.place, self.count])  # float64, like many environments


class Choice(Walk):
  """A walk with two actions and a dictionary observation."""

  observation_space = Dict(
    grid=Box(np.zeros((2, 2)), np.ones((2, 2))), face=Discrete(3, start=1)
  )
  action_space = Discrete(2)

  def step(self, action):
    assert isinstance(action, int) and action in (0, 1)
    return super().step(np.float32([2 * action - 1]))

  def _show(self):
    return {"face": 2, "grid": np.full((2, 2), self.place)}


def episode(env, key, steps=14):
  """Takes random actions; returns the last state and all transitions."""
  import jax  # workers must not import jax

  def body(state, key):
    action = jax.random.uniform(key, (env.spec.action_dim,), minval=-1.2, maxval=1.2)
    return env.step(state, action, key)

  return jax.lax.scan(body, env.reset(key), jax.random.split(key, steps))
