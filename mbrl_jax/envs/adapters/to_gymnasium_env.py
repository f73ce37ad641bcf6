"""Shows our environments as Gymnasium's, so that Stable-Baselines3 and others train on them."""

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

  ``reset(seed=...)`` begins the same run again; episodes after that draw on. The time
  limit is ours, told as ``truncated``. Reset and step are compiled when first used. Arrays
  that are returned belong to the caller. ``spec.make`` makes another one.

  Args:
    env: any environment that compiles.
    render_mode: ``None`` or ``"rgb_array"``.
    draw: ``(pose [Q]) -> [height, width, 3]`` uint8, draws what ``env.pose`` returns; by
      default MuJoCo draws the environment's model, with its first camera if it has one.
      ``lambda pose: video.render(env, pose[None])[0]``, with ``runtime.rendering.video``, draws
      every task.
    width, height: pixels of what MuJoCo draws.

  Returns:
    The environment; ``obs`` is ``[O]`` float32, ``action`` ``[A]`` float32 within the bounds.

  Raises:
    ImportError: Gymnasium is not installed; says how to install it.
    ValueError: an unknown mode, or nothing that draws the environment.
  """
  gymnasium = import_extra("gymnasium")
  validate.positive(width=width, height=height)
  drawn = draw is not None or getattr(env, "model", None) is not None
  if render_mode is not None:
    validate.choice("render_mode", render_mode, _MODES)
    if not drawn:
      raise ValueError(
        f"{env.spec.name!r} has no MuJoCo model to render: pass draw, a function of "
        "env.pose(state)."
      )
  spec, box = env.spec, gymnasium.spaces.Box
  fields = {
    "metadata": {
      "render_modes": list(_MODES) if drawn else [],
      "render_fps": max(1, round(1 / spec.dt)),
    },
    "observation_space": box(-np.inf, np.inf, (spec.obs_dim,), np.float32),
    "action_space": box(np.float32(spec.action_low), np.float32(spec.action_high)),
    "render_mode": render_mode,
    "spec": gymnasium.envs.registration.EnvSpec(
      "mbrl_jax/" + re.sub(r"[^\w:.-]", "_", spec.name),
      entry_point=lambda render_mode=None: to_gymnasium(
        env, render_mode, draw=draw, width=width, height=height
      ),
      max_episode_steps=spec.episode_length,
    ),
  }
  kind = type("ToGymnasium", (_ToGymnasium, gymnasium.Env), fields)
  return kind(env, draw or _Renderer(env, width, height))


class _ToGymnasium:
  """The methods of ``gymnasium.Env``."""

  render_mode: str | None
  action_space: Any
  _state: EnvState | None = None

  def __init__(self, env: Env, draw: Callable[[np.ndarray], np.ndarray]):
    self._env, self._draw = env, draw
    self._reset, self._step = jax.jit(env.reset), jax.jit(env.step)
    self._keys: Any = None

  def reset(
    self, *, seed: int | None = None, options: dict | None = None
  ) -> tuple[np.ndarray, dict]:
    """Begins an episode; with a seed, the first of a run."""
    super().reset(seed=seed, options=options)
    if seed is not None or self._keys is None:
      self._keys = jax.random.key(int(self.np_random.integers(2**31)))
    self._state = self._reset(self._key())
    return np.array(self._state.obs, np.float32), {}

  def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
    """Takes one control step."""
    if self._state is None:
      raise RuntimeError("reset() has to come before step().")
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
    """Draws the present state, ``None`` without a render mode."""
    if self.render_mode is None or self._state is None:
      return None
    return np.asarray(self._draw(np.asarray(self._env.pose(self._state), np.float64)))

  def close(self) -> None:
    """Frees what draws."""
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
    """Draws a pose: the positions, then those and the orientations of mocap bodies."""
    if self._renderer is None:
      self._model = model = copy.copy(self._env.model)  # its buffer may be too small
      model.vis.global_.offwidth = max(self._width, model.vis.global_.offwidth)
      model.vis.global_.offheight = max(self._height, model.vis.global_.offheight)
      self._data = mujoco.MjData(model)
      self._renderer = self._start(model)
    model = self._model
    marks = np.split(pose[model.nq :], [3 * model.nmocap])
    self._data.qpos[:] = pose[: model.nq]
    if marks[1].size:
      self._data.mocap_pos[:], self._data.mocap_quat[:] = (
        m.reshape(model.nmocap, -1) for m in marks
      )
    mujoco.mj_forward(model, self._data)
    self._renderer.update_scene(self._data, camera=0 if model.ncam else -1)
    return self._renderer.render()

  def _start(self, model: mujoco.MjModel) -> mujoco.Renderer:
    try:
      return mujoco.Renderer(model, self._height, self._width)
    except mujoco.FatalError as error:
      raise RuntimeError(
        f"MuJoCo cannot draw {self._width} x {self._height} pixels here ({error}): begin with "
        "MUJOCO_GL=egl or osmesa in the environment, or pass draw, as in draw=lambda pose: "
        "mbrl_jax.runtime.rendering.video.render(env, pose[None])[0]."
      ) from error

  def close(self) -> None:
    """Frees the renderer."""
    if self._renderer is not None:
      self._renderer.close()
    self._renderer = None
