"""Tests randomised models: consistent physics, independent slices."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mjcf_models import CART, arm, c_rollout, cart

from mbrl_jax.envs import mjx_dynamics, mjx_model, mjx_state, randomise
from mbrl_jax.envs.models.randomise import draw_models
from mbrl_jax.ops.risk import cvar
from mbrl_jax.planners import make_evaluate

pytestmark = pytest.mark.timeout(120)
N = 4

MIXED = """
<mujoco>
  <worldbody><geom name="floor" type="plane" size="1 1 .1" friction="1 .01 .001"/>
    <body name="a"><joint name="slide" type="slide" axis="1 0 0" damping="2"/>
      <geom size=".1" mass="1" friction=".5 .02 .003"/>
      <body name="b" pos=".3 0 0"><joint name="hinge" axis="0 1 0" damping="3"/>
        <geom size=".1 .2 .05" type="box" mass="2"/></body></body>
  </worldbody>
  <tendon><fixed name="both"><joint joint="slide" coef="1"/><joint joint="hinge" coef="2"/>
  </fixed></tendon>
  <actuator>
    <position name="servo" joint="slide" kp="20" kv="3"/>
    <motor name="motor" joint="hinge"/>
    <muscle name="muscle" tendon="both" lengthrange="-1 1" force="50"/>
  </actuator>
</mujoco>"""
"""A servo, a motor and a muscle."""

SLIDER = """
<mujoco>
  <option timestep="0.002" cone="elliptic" impratio="20"/>
  <worldbody><geom type="plane" size="5 5 .1" friction=".4"/>
    <body pos="0 0 .1">
      <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/>
      <geom size=".1" mass="1" friction=".4"/>
    </body>
  </worldbody>
</mujoco>"""
"""A ball that cannot roll, on the floor."""


def speed(obs, action, next_obs):
  return next_obs[1]


def take(models, k):
  """Returns model ``k`` of a set."""
  axes = jax.tree.broadcast(models.axes, models.params, is_leaf=lambda x: x is None)
  pick = lambda axis, leaf: leaf if axis is None else leaf[k]
  return jax.tree.map(pick, axes, models.params, is_leaf=lambda x: x is None)


def test_acceleration_is_force_over_mass():
  model = cart(mass=2.0)
  models = randomise(model, jax.random.key(0), N, masses=(0.5, 2.0))
  mass = models.params.body_mass[:, 1]
  assert len(np.unique(mass)) == N and (mass >= 1.0).all() and (mass <= 4.0).all()
  step = jax.vmap(mjx_dynamics(model, reward=speed).step, (models.axes, None, None, None))
  state, rewards, _ = jax.jit(step)(models.params, mjx_state(model), jnp.full(1, 3.0), ())
  np.testing.assert_allclose(state.qvel[:, 0], 3.0 * 0.01 / mass, rtol=1e-5)
  np.testing.assert_array_equal(rewards, state.qvel[:, 0])


def test_masses_equal_those_of_a_compiled_model():
  """Including inertia, and what MuJoCo's compiler derives from masses and MJX uses."""
  models = randomise(cart(2.0), jax.random.key(1), 2, masses=(0.5, 2.0))
  for k in range(2):
    mass = float(models.params.body_mass[k, 1])
    compiled = mjx_model(mujoco.MjModel.from_xml_string(CART.format(mass=mass, limited="true")))
    one = take(models, k)
    for field in (
      "body_mass",
      "body_inertia",
      "body_subtreemass",
      "body_invweight0",
      "dof_invweight0",
    ):
      got, want = getattr(one, field), getattr(compiled, field)
      np.testing.assert_allclose(got, want, rtol=1e-5, err_msg=field)


def test_each_body_has_its_own_factor_and_inertia_scales_with_it():
  model = arm()
  models = randomise(model, jax.random.key(2), N, masses=(0.5, 2.0))
  factor = models.params.body_mass[:, 1:] / np.float32(model.body_mass[1:])
  assert len(np.unique(factor)) == 2 * N
  inertia = models.params.body_inertia[:, 1:] / np.float32(model.body_inertia[1:])
  np.testing.assert_allclose(inertia, np.repeat(factor[..., None], 3, -1), rtol=1e-5)


def test_gains_scale_the_force_and_keep_the_set_point():
  model = mujoco.MjModel.from_xml_string(MIXED)
  params = randomise(model, jax.random.key(0), N, gains=(0.5, 2.0)).params
  gain, bias = params.actuator_gainprm, params.actuator_biasprm
  factor = gain[:, :2, 0] / np.float32([20.0, 1.0])
  assert len(np.unique(factor)) == 2 * N
  np.testing.assert_array_equal(gain[:, 0, 0], -bias[:, 0, 1])
  np.testing.assert_allclose(bias[:, 0, 2], -3.0 * factor[:, 0], rtol=1e-6)
  muscle, shape = gain[:, 2], [0, 1, 4, 5, 6]
  assert len(np.unique(muscle[:, 2])) == N
  before = np.float32(model.actuator_gainprm[2])[shape]
  np.testing.assert_array_equal(muscle[:, shape], np.tile(before, (N, 1)))
  np.testing.assert_array_equal(bias[:, 2, 2], muscle[:, 2])


SERVOS = """
<mujoco><worldbody><body><joint name="a" axis="0 1 0" damping="1"/><geom size=".1" mass="2"/>
    <body><joint name="ball" type="ball"/><geom size=".1" pos=".2 0 0"/></body></body>
  </worldbody><actuator>
    <dcmotor name="dc" joint="a" resistance="2" motorconst=".5" thermal="1 2 0 .004 25 30"
      cogging=".3 6 .1" lugre="10 .1 .2 .3 .4" input="pos vel" controller="5 1 .2 3 4 12"/>
    <pid name="pid" joint="a" kp="5" ki="2" kv="1" imax="3" slewmax="4"/>
    <damper name="damper" joint="a" kv="3" ctrlrange="0 1"/>
    <orientation name="so3" joint="ball" kp="5" kv="1"/>
    <cylinder name="cylinder" joint="a" area="4" timeconst=".1" bias="1 2 3"/>
  </actuator></mujoco>"""


def test_only_gains_are_scaled_for_every_actuator_type():
  model = mujoco.MjModel.from_xml_string(SERVOS)
  (varied,) = draw_models(model, jax.random.key(0), 1, {"gains": (2.0, 2.0)})
  gain, bias = (getattr(varied, f"actuator_{x}prm") for x in ("gain", "bias"))
  motor = [2, 1, 0.004, 25, 10, 2, 0.4, 12]  # R, K x2, tempcoef, reftemp, kp ki kd x2, Vmax
  np.testing.assert_allclose(gain[0, :8], motor)
  np.testing.assert_array_equal(bias[0], model.actuator_biasprm[0])
  np.testing.assert_array_equal(gain[1:5, :3], [[4, 0, 0], [0, 0, -6], [10, 0, 0], [8, 0, 0]])
  np.testing.assert_array_equal(
    bias[1:5, :3], [[0, -10, -2], [0, 0, 0], [0, -10, -2], [2, 4, 6]]
  )
  np.testing.assert_array_equal(varied.actuator_dynprm, model.actuator_dynprm)


def test_a_servo_with_twice_the_gain_has_twice_the_force():
  model = mujoco.MjModel.from_xml_string(SERVOS)
  (varied,) = draw_models(model, jax.random.key(0), 1, {"gains": (2.0, 2.0)})
  forces = []
  for each in (model, varied):
    data = mujoco.MjData(each)
    data.qpos[0], data.qvel[0], data.ctrl[:] = 0.3, 0.5, 0.2
    mujoco.mj_forward(each, data)
    forces.append(data.actuator_force[1:].copy())
  np.testing.assert_allclose(forces[1], 2 * forces[0])


def test_unknown_gains_are_rejected_by_name():
  xml = MIXED.replace("<motor name", "<general gaintype='user' name")
  model = mujoco.MjModel.from_xml_string(xml)
  draw = lambda **ranges: draw_models(model, jax.random.key(0), 1, ranges)
  with pytest.raises(ValueError, match="gains: the force of the actuator 'motor'"):
    draw(gains=(0.5, 2.0))
  assert draw(masses=(0.5, 2.0))[0].body_mass[1] != model.body_mass[1]


def test_masses_do_not_change_the_strength_of_muscles():
  model = mujoco.MjModel.from_xml_string(MIXED)
  (varied,) = draw_models(model, jax.random.key(0), 1, {"masses": (2.0, 2.0)})
  np.testing.assert_array_equal(varied.actuator_acc0, model.actuator_acc0)
  np.testing.assert_allclose(varied.dof_invweight0, model.dof_invweight0 / 2)


def test_override_friction_is_scaled():
  model = mujoco.MjModel.from_xml_string(
    "<mujoco><option o_friction='1 2 .1 .2 .3'><flag override='enable'/></option></mujoco>"
  )
  (varied,) = draw_models(model, jax.random.key(0), 1, {"friction": (0.5, 0.5)})
  np.testing.assert_allclose(varied.opt.o_friction, [0.5, 1, 0.05, 0.1, 0.15])


def test_friction_has_one_factor_and_damping_one_for_each_dof():
  model = mujoco.MjModel.from_xml_string(MIXED)
  ranges = {"friction": (0.5, 2.0), "damping": (0.0, 1.0)}
  params = randomise(model, jax.random.key(0), N, **ranges).params
  friction = params.geom_friction / np.float32(model.geom_friction)
  np.testing.assert_allclose(friction, np.tile(friction[:, :1, :1], (1, 3, 3)), rtol=1e-6)
  assert len(np.unique(friction[:, 0, 0])) == N
  damping = params.dof_damping / np.float32(model.dof_damping)
  assert len(np.unique(damping)) == 2 * N and (damping < 1).all()
  assert params.body_mass.shape == (3,), "masses were not randomised"


@pytest.mark.slow
def test_a_slider_decelerates_by_its_friction():
  model = mujoco.MjModel.from_xml_string(SLIDER)
  models = randomise(model, jax.random.key(0), N, friction=(0.5, 1.5))
  dynamics = mjx_dynamics(model, reward=speed, substeps=50)
  step = jax.jit(jax.vmap(dynamics.step, (models.axes, None, None, None)))
  state = mjx_state(model, [0.0, 0.0], [5.0, 0.0])
  state, _, _ = step(models.params, state, jnp.zeros(0), ())
  friction = models.params.geom_friction[:, :, 0]
  for k in range(N):
    model.geom_friction[:, 0] = friction[k]
    want = c_rollout(model, [0.0, 0.0], [5.0, 0.0], np.zeros((50, 0)), act=())[-1, 2]
    np.testing.assert_allclose(state.qvel[k, 0], want, rtol=1e-4)
  # the softness of contacts lets the ball hop a little
  np.testing.assert_allclose(5.0 - state.qvel[:, 0], 0.1 * 9.81 * friction[:, 0], rtol=0.2)


def test_ranges_of_one_change_nothing():
  model = mujoco.MjModel.from_xml_string(MIXED)
  one = (1.0, 1.0)
  models = randomise(
    model, jax.random.key(0), 2, masses=one, friction=one, gains=one, damping=one
  )
  jax.tree.map(np.testing.assert_array_equal, take(models, 1), mjx_model(model))


def test_the_given_model_is_not_changed():
  model = arm()
  before = model.body_mass.copy(), model.dof_invweight0.copy()
  randomise(model, jax.random.key(0), 2, masses=(2.0, 3.0))
  np.testing.assert_array_equal(before[0], model.body_mass)
  np.testing.assert_array_equal(before[1], model.dof_invweight0)


@pytest.mark.slow
def test_slices_are_independent_and_a_new_key_does_not_retrace():
  model, traces = cart(), []

  def reward(obs, action, next_obs):
    traces.append(None)
    return -((next_obs[0] - 0.5) ** 2)

  draw = lambda seed: randomise(model, jax.random.key(seed), N, masses=(0.5, 2.0))
  models = draw(0)
  state, key = mjx_state(model), jax.random.key(0)
  plans = jax.random.uniform(key, (6, 10, 1), minval=-5.0, maxval=5.0)
  dynamics = mjx_dynamics(model, reward=reward, slices=N, params_axes=models.axes)
  ensemble = jax.jit(make_evaluate(dynamics, particles=N, risk=cvar(0.5)))
  got = ensemble(models.params, state, plans, key)
  count = len(traces)
  other = ensemble(draw(1).params, state, plans, key)
  assert len(traces) == count and not np.allclose(got, other)

  alone = jax.jit(make_evaluate(mjx_dynamics(model, reward=reward)))
  returns = np.stack([alone(take(models, k), state, plans, key) for k in range(N)])
  assert len(traces) == count + 1, "another slice retraced"
  np.testing.assert_allclose(got, np.sort(returns, 0)[: N // 2].mean(0), rtol=1e-5)
  batched = make_evaluate(dynamics, particles=N, risk=cvar(0.5), map_slices=False)
  np.testing.assert_allclose(batched(models.params, state, plans, key), got, rtol=1e-5)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"n": 0, "masses": (1, 2)}, "n=0 must be positive"),
    ({"n": 2}, "no range was given; give one of masses, friction, gains, damping"),
    ({"n": 2, "masses": (0.0, 2.0)}, r"masses=\[0.0, 2.0\].*0 < low"),
    ({"n": 2, "damping": (2.0, 1.0)}, r"damping=\[2.0, 1.0\] must be factors"),
    ({"n": 2, "gains": 1.5}, r"gains=1.5 must be factors"),
    ({"n": 2, "friction": (0.0, np.inf)}, "friction"),
  ],
)
def test_rejects_invalid_arguments(arguments, message):
  with pytest.raises(ValueError, match=message):
    randomise(cart(), jax.random.key(0), **arguments)


def test_rejects_an_mjx_model():
  with pytest.raises(ValueError, match=r"mujoco.MjModel, got Model"):
    randomise(mjx_model(cart()), jax.random.key(0), 2, masses=(1, 2))
