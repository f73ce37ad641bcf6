"""Equations of motion of the cart-pole: fifty times as fast as MuJoCo, and differentiable.

With cart position ``x``, angle ``q`` (0 hanging), masses ``m_c`` and ``m_p``, the pole's centre
of mass at ``(p_x, p_z)`` in its own frame and ``h(q) = m_p (p_z cos q - p_x sin q)``::

  [m_c + m_p   h(q)] [x'']   [f - d_x x' - h'(q) q'^2]
  [h(q)        I   ] [q''] = [  - d_q q' - g h'(q)   ]

``I`` is the pole's moment of inertia about the hinge and ``h'`` the derivative. The integrator
is that of the MuJoCo model: fourth-order Runge-Kutta with a constant force. All constants are
read from the model. The ends of the rail are missing: the model is exact as long as the cart
does not touch them.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from mbrl_jax.types import Array, Dynamics, Key, Params


def cartpole_equations(env: Any) -> Dynamics:
  """Makes the exact model of the task ``cartpole``; its state is the observation ``[4]``."""
  model, spec = env.model, env.spec
  masses, (p_x, _, p_z) = model.body_mass[1:], model.body_ipos[2]
  total, pole, inertia = masses.sum(), masses[1], model.dof_M0[1]
  damping, gravity, gear = model.dof_damping, -model.opt.gravity[2], model.actuator_gear[0, 0]
  dt, substeps = model.opt.timestep, round(spec.dt / model.opt.timestep)

  def derivative(state: Array, force: Array) -> Array:
    _, angle, speed, spin = state
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    coupling, slope = pole * (p_z * cos - p_x * sin), -pole * (p_x * cos + p_z * sin)
    push = force - damping[0] * speed - slope * spin**2
    turn = -damping[1] * spin - gravity * slope
    scale = 1.0 / (total * inertia - coupling**2)
    accelerations = inertia * push - coupling * turn, total * turn - coupling * push
    return jnp.stack([speed, spin, *(scale * a for a in accelerations)])

  def substep(state: Array, force: Array) -> Array:
    k1 = derivative(state, force)
    k2 = derivative(state + dt / 2 * k1, force)
    k3 = derivative(state + dt / 2 * k2, force)
    k4 = derivative(state + dt * k3, force)
    return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

  def step(params: Params, obs: Array, action: Array, key: Key) -> tuple[Array, Array, Array]:
    force = gear * jnp.clip(action[0], spec.action_low[0], spec.action_high[0])
    next_obs = obs
    for _ in range(substeps):
      next_obs = substep(next_obs, force)
    transition = obs, action, next_obs
    return next_obs, spec.reward(*transition), spec.terminated(*transition)

  # The dynamics are deterministic: no random keys are split.
  return Dynamics(step, noise=lambda key, shape: ())
