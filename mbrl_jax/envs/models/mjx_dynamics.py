"""Makes ``Dynamics`` from a MuJoCo model, with the ``mjx.Model`` itself as params.

Masses, friction, gains and every other array of the model are data: other values never
recompile, ``jax.grad`` can differentiate by them, and a set of randomised models is one
``mjx.Model`` with a leading axis (see ``randomise``).

Each call of a compiled function spends 0.2 ms on the host to flatten the many fields of an
``mjx.Model``; if that matters and the model does not change, close over it:
``jax.jit(functools.partial(planner.plan, params))``.

Gradients: forward mode (``jax.jvp``, ``jax.jacfwd``) always works. Reverse mode
(``jax.grad``) works for unconstrained models; with joint limits, contacts or other
constraints MJX's solver is a ``while_loop``, which reverse mode does not support unless it
runs a single iteration: ``model.opt.iterations = 1`` before ``mjx_model(model)``. Through
the four stages of RK4 gradients compile for minutes; Euler is several times faster.

Example:
  >>> import jax, mujoco
  >>> import jax.numpy as jnp
  >>> from mbrl_jax.envs import mjx_dynamics, mjx_model, mjx_state
  >>> from mbrl_jax.planners import make_evaluate, make_planner, mppi
  >>> model = mujoco.MjModel.from_xml_string('''
  ...   <mujoco><worldbody><body>
  ...     <joint name="hinge" axis="0 1 0"/><geom size=".05" pos="0 0 -.5" mass="1"/>
  ...   </body></worldbody>
  ...   <actuator><motor joint="hinge" ctrlrange="-1 1"/></actuator></mujoco>''')
  >>> def reward(obs, action, next_obs):  # obs is [angle, speed]
  ...   return jnp.cos(next_obs[0] - jnp.pi) - 0.1 * next_obs[1] ** 2
  >>> dynamics = mjx_dynamics(model, reward=reward, substeps=10)
  >>> planner = make_planner(
  ...   mppi(samples=16), make_evaluate(dynamics), horizon=5, action_low=[-1], action_high=[1]
  ... )
  >>> params, state = mjx_model(model), mjx_state(model, [0.1], [0.0])
  >>> plan = jax.jit(planner.plan)
  >>> output, plan_state = plan(params, state, planner.init(), jax.random.key(0))
  >>> output.action.shape
  (1,)
  >>> heavier = params.replace(body_mass=2 * params.body_mass)  # does not recompile
  >>> output, plan_state = plan(heavier, state, plan_state, jax.random.key(1))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mbrl_jax.envs.physics.base import PhysicsState, observe_all
from mbrl_jax.envs.physics.mjx import advance, sense
from mbrl_jax.envs.physics.mjx_models import check_sensors, mjx_model
from mbrl_jax.envs.physics.sensors import find_sensors
from mbrl_jax.envs.task import never
from mbrl_jax.ops import validate
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Array, Dynamics, Key, RewardFn, TerminationFn


def mjx_dynamics(
  model: Any,
  *,
  reward: RewardFn,
  terminated: TerminationFn = never,
  observe: Callable[[PhysicsState], Array] = observe_all,
  substeps: int = 1,
  sensors: Sequence[str] = (),
  slices: int = 1,
  params_axes: Any = None,
) -> Dynamics:
  """Makes dynamics that step the ``mjx.Model`` passed as ``params``.

  Args:
    model: ``mujoco.MjModel`` or ``mjx.Model``, only to check it and to find sensors;
      the params are stepped, ``mjx_model(model)`` or a model of the same structure.
    reward: ``(obs, action, next_obs) -> []``.
    terminated: ``(obs, action, next_obs) -> [] bool``.
    observe: ``(PhysicsState) -> obs``, by default ``observe_all``. For a task on MuJoCo
      physics use ``env.observe`` and ``env.spec.reward``.
    substeps: simulation steps of ``model.opt.timestep`` in one control step.
    sensors: names of the sensors whose values ``state.sensors`` holds, in this order,
      evaluated at the state itself. They cost one more kinematics a step, and a second one
      if reward or termination depend on the sensors in ``obs``.
    slices: ``E``, the number of models stacked in the params.
    params_axes: the axes of that stack, ``Randomised.axes``.

  Returns:
    Dynamics whose state is ``mjx_state(...)``, or ``EnvState.physics`` of a task that
    runs on MJX. Actions are the ``ctrl``; MJX clips them to the ``ctrlrange`` of actuators
    that have one. Mocap bodies have the poses ``body_pos`` and ``body_quat`` of the params.

  Raises:
    ValueError: substeps or slices below one, an unknown sensor, a model that MJX does
      not support.
  """
  validate.positive(substeps=substeps, slices=slices)
  ids = find_sensors(mjx_model(model), sensors)
  check_sensors(model, ids)

  def observe_at(params: Any, state: PhysicsState, ctrl: Array) -> Array:
    return observe(sense(params, state, ctrl, ids) if ids else state)

  @single
  def step(
    params: Any, state: PhysicsState, action: Array, key: Key
  ) -> tuple[PhysicsState, Array, Array]:
    del key
    next_state = advance(params, state, action, substeps)
    obs, next_obs = (observe_at(params, s, action) for s in (state, next_state))
    return next_state, reward(obs, action, next_obs), terminated(obs, action, next_obs)

  return Dynamics(step, slices, params_axes, noise=_no_noise)


def _no_noise(key: Key, shape: tuple[int, ...]) -> tuple[()]:
  """Draws nothing: the dynamics are deterministic, so no key is split for each row."""
  del key, shape
  return ()
