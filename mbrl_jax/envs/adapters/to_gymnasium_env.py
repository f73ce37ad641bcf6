"""Adapts ``types.Env`` to Gymnasium, so that Stable-Baselines3 and others can train on it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import jax
import mujoco
import numpy as np

from mbrl_jax.ops import validate
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.types import Env, EnvState

_MODES = ("rgb_array",)


def to_gymnasium(
  env: Env,
  render_mode: str | None = None,
  *,
  draw: Callable[[np.ndarray], np.ndarray] | None = None,
  width: int = 640,
  height: int = 360,
) -> Any:
  """Makes a ``gymnasium.Env`` of an environment.

  ``reset(seed=...)`` restarts the random sequence; later resets continue it. The environment's
  own time limit is reported as ``truncated``. Reset and step are compiled on first use.
  Returned arrays are copies. ``spec.make`` makes another instance.

  Args:
    env: any environment that compiles.
    render_mode: ``None`` or ``"rgb_array"``.
    draw: ``(pose [Q]) -> [height, width, 3]`` uint8, draws what ``env.pose`` returns; by
      default MuJoCo draws the environment's model with its first camera, if it has one.
      ``lambda pose: video.render(env, pose[None])[0]``, with ``runtime.rendering.video``, draws
      every task.
    width, height: of MuJoCo's images, pixels.

  Returns:
    The environment; ``obs`` is ``[O]`` float32, ``action`` ``[A]`` float32 within the bounds.

  Raises:
    ImportError: Gymnasium is not installed; names the extra.
    ValueError: an unknown mode, or no way to draw the environment.

  Example:
    >>> import numpy as np
    >>> from mbrl_jax import make_env, to_gymnasium
    >>> env = to_gymnasium(make_env("pendulum"))
    >>> obs, info = env.reset(seed=0)
    >>> obs.shape, env.step(np.zeros(1, np.float32))[2:4]
    ((3,), (False, False))
  """
  gymnasium = import_extra("gymnasium")
  validate.positive(width=width, height=height)
  drawable = draw is not None or getattr(env, "model", None) is not None
  if render_mode is not None:
    validate.choice("render_mode", render_mode, _MODES)
    if not drawable:
      raise ValueError(
        f"{env.spec.name!r} has no MuJoCo model to render: pass draw, a function of "
        "env.pose(state)."
      )
  fields = _class_fields(env, drawable)
  fields |= {
    "render_mode": render_mode,
    "spec": gymnasium.envs.registration.EnvSpec(
      "mbrl_jax/" + re.sub(r"[^\w:.-]", "_", env.spec.name),
      entry_point=lambda render_mode=None: to_gymnasium(
        env, render_mode, draw=draw, width=width, height=height
      ),
      max_episode_steps=env.spec.episode_length,
    ),
  }
  cls = type("ToGymnasium", (_ToGymnasium, gymnasium.Env), fields)
  return cls(env, draw or _Renderer(env, width, height))


def _class_fields(env: Env, drawable: bool) -> dict[str, Any]:
  """Returns the metadata and the spaces of a ``gymnasium.Env``."""
  spec, box = env.spec, import_extra("gymnasium").spaces.Box
  return {
    "metadata": {
      "render_modes": list(_MODES) if drawable else [],
      "render_fps": max(1, round(1 / spec.dt)),
    },
    "observation_space": box(-np.inf, np.inf, (spec.obs_dim,), np.float32),
    "action_space": box(np.float32(spec.action_low), np.float32(spec.action_high)),
  }


class _ToGymnasium:
  """The methods of ``gymnasium.Env``, which ``to_gymnasium`` adds as a base class."""

  render_mode: str | None
  action_space: Any
  np_random: np.random.Generator  # of ``gymnasium.Env``
  _state: EnvState | None = None

  def __init__(self, env: Env, draw: Callable[[np.ndarray], np.ndarray]):
    self._env, self._draw = env, draw
    self._reset, self._step = jax.jit(env.reset), jax.jit(env.step)
    self._keys: Any = None

  def reset(
    self, *, seed: int | None = None, options: dict | None = None
  ) -> tuple[np.ndarray, dict]:
    """Starts an episode; a seed restarts the random sequence."""
    super().reset(seed=seed, options=options)  # type: ignore[misc]  # gymnasium.Env's
    if seed is not None or self._keys is None:
      self._keys = jax.random.key(int(self.np_random.integers(2**31)))
    self._state = self._reset(self._key())
    return np.array(self._state.obs, np.float32), {}

  def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Takes one control step."""
    if self._state is None:
      raise RuntimeError("call reset() before step().")
    action = np.asarray(action, np.float32)
    if action.shape != self.action_space.shape:
      raise ValueError(
        f"the action must have shape {self.action_space.shape}, got {action.shape}."
      )
    self._state, transition = self._step(self._state, action, self._key())
    t = jax.device_get(transition)
    ends = bool(t.terminated), bool(t.truncated)
    return np.array(t.next_obs, np.float32), float(t.reward), *ends, {}

  def render(self) -> np.ndarray | None:
    """Draws the current state; returns ``None`` without a render mode."""
    if self.render_mode is None or self._state is None:
      return None
    return np.asarray(self._draw(np.asarray(self._env.pose(self._state), np.float64)))

  def close(self) -> None:
    """Frees the renderer."""
    getattr(self._draw, "close", lambda: None)()

  def _key(self) -> jax.Array:
    self._keys, key = jax.random.split(self._keys)
    return key


class _Renderer:
  """Draws poses of a MuJoCo model."""

  def __init__(self, env: Any, width: int, height: int):
    self._env, self._width, self._height = env, width, height
    self._renderer: mujoco.Renderer | None = None

  def __call__(self, pose: np.ndarray) -> np.ndarray:
    """Draws a pose: joint positions, then positions and orientations of mocap bodies."""
    if self._renderer is None:
      self._model = model = copy.copy(self._env.model)  # its buffer is enlarged below
      model.vis.global_.offwidth = max(self._width, model.vis.global_.offwidth)
      model.vis.global_.offheight = max(self._height, model.vis.global_.offheight)
      self._data = mujoco.MjData(model)
      self._renderer = self._start(model)
    model = self._model
    mocap = np.split(pose[model.nq :], [3 * model.nmocap])
    self._data.qpos[:] = pose[: model.nq]
    if mocap[1].size:
      self._data.mocap_pos[:], self._data.mocap_quat[:] = (
        x.reshape(model.nmocap, -1) for x in mocap
      )
    mujoco.mj_forward(model, self._data)
    self._renderer.update_scene(self._data, camera=0 if model.ncam else -1)
    return self._renderer.render()

  def _start(self, model: mujoco.MjModel) -> mujoco.Renderer:
    """Makes the renderer."""
    try:
      return mujoco.Renderer(model, self._height, self._width)
    except mujoco.FatalError as error:
      raise RuntimeError(
        f"MuJoCo cannot draw {self._width} x {self._height} pixels here ({error}): set "
        "MUJOCO_GL=egl or MUJOCO_GL=osmesa, or pass draw, as in draw=lambda pose: "
        "mbrl_jax.runtime.rendering.video.render(env, pose[None])[0]."
      ) from error

  def close(self) -> None:
    """Frees the renderer."""
    if self._renderer is not None:
      self._renderer.close()
    self._renderer = None
