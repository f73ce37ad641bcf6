"""Quaternions against MuJoCo, and in gimbal lock."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.ops import quaternion


def random_quaternions(n):
  q = np.random.default_rng(0).normal(size=(n, 4))
  return q / np.linalg.norm(q, axis=1, keepdims=True)


def reference(q):
  matrix = np.zeros(9)
  mujoco.mju_quat2Mat(matrix, q)
  return matrix.reshape(3, 3)


def test_matrix_agrees_with_mujoco():
  for q in random_quaternions(20):
    np.testing.assert_allclose(quaternion.matrix(jnp.float32(q)), reference(q), atol=1e-6)
    np.testing.assert_allclose(quaternion.z_axis(jnp.float32(q)), reference(q)[:, 2], atol=1e-6)


def test_euler_angles_agree_with_three_hinges_in_mujoco():
  hinges = "".join(f'<joint axis="{a}"/>' for a in ("1 0 0", "0 1 0", "0 0 1"))
  model = mujoco.MjModel.from_xml_string(
    f'<mujoco><worldbody><body>{hinges}<geom size="1"/></body></worldbody></mujoco>'
  )
  data = mujoco.MjData(model)
  angles = np.random.default_rng(1).uniform([-3, -1.5, -3], [3, 1.5, 3], (50, 3))
  for angle in angles:
    data.qpos[:] = angle
    mujoco.mj_kinematics(model, data)
    q = quaternion.from_euler(jnp.float32(angle))
    np.testing.assert_allclose(quaternion.matrix(q), data.xmat[1].reshape(3, 3), atol=1e-6)
    np.testing.assert_allclose(quaternion.to_euler(q), angle, atol=1e-4)


def test_gimbal_lock_is_finite():
  q = quaternion.from_euler(jnp.array([0.3, jnp.pi / 2, 0.2]))
  assert np.isfinite(quaternion.to_euler(q)).all()
  assert np.isfinite(jax.jacfwd(quaternion.to_euler)(q)).all()
  exact = jnp.sqrt(0.5) * jnp.array([1.0, 0.0, 1.0, 0.0])
  assert np.isfinite(jax.jacfwd(quaternion.to_euler)(exact)).all()


def test_from_z_axis_rotates_z_to_the_axis():
  for q in random_quaternions(20):
    axis = quaternion.z_axis(jnp.float32(q))
    np.testing.assert_allclose(quaternion.z_axis(quaternion.from_z_axis(axis)), axis, atol=1e-5)
