"""Tests MJX against MuJoCo C by feature: simulated alike, or rejected by name."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mjx_features import ALIKE, IGNORED, REFUSED
from mjx_sensor_features import FELT, SENSED, UNKNOWN, UNREAD
from mjx_templates import ARM, BALL, build, fixed

from mbrl_jax.envs import make_mjcf, make_task, mjx_dynamics, mjx_model, randomise
from mbrl_jax.envs.physics import mjx_models
from mbrl_jax.envs.physics.backends import make_physics
from mbrl_jax.envs.physics.mjx_models import import_mjx
from mbrl_jax.envs.physics.mjx_support import find_unsupported

STEPS = 10
QUICK = ("stiffness", "filter", "gravcomp")
"""Features that the quick tests compare; the slow ones compare all."""


def compiled(template, *parts):
  return mujoco.MjModel.from_xml_string(build(template, *parts))


def begin(model):
  """Returns ``(qpos, qvel, act, ctrl)`` where springs, limits and contacts are active."""
  qpos, turn = model.qpos0.copy(), np.array([0.8, 0.4, 0.4, 0.2])  # a unit quaternion
  if model.nq == 7:  # a free body
    qpos[3:] = turn
  else:  # a ball and a hinge, or two hinges
    qpos[:] = [*turn, 0.5] if model.nq == 5 else [0.6, -0.4]
  parts = qpos, np.linspace(1, -1, model.nv), np.full(model.na, 0.3), np.full(model.nu, 0.7)
  return [np.float32(x) for x in parts]


def in_c(model):
  """Returns positions and velocities after a loop of ``mj_step``."""
  data = mujoco.MjData(model)
  data.qpos, data.qvel, data.act, data.ctrl = begin(model)
  mujoco.mj_step(model, data, STEPS)
  return np.concatenate([data.qpos, data.qvel])


def in_mjx(model):
  """Returns positions and velocities after the same steps on MJX."""
  physics, (qpos, qvel, act, ctrl) = make_physics(model, STEPS, "mjx"), begin(model)
  state = jax.jit(lambda: physics.step(physics.init(qpos, qvel, act), ctrl))()
  return np.concatenate([state.qpos, state.qvel])


@pytest.mark.parametrize("name", IGNORED)
def test_features_that_mjx_ignores_are_rejected_by_name(name):
  template, common, feature, message = IGNORED[name]
  assert find_unsupported(compiled(template, common)) is None
  with pytest.raises(ValueError, match=f"MJX cannot simulate the model.*{message}"):
    make_physics(compiled(template, common, feature), 1, "mjx")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", IGNORED)
def test_rejected_features_are_wrong_on_mjx(name, monkeypatch):
  """Justifies each rule; once MJX simulates the feature, the rule can be removed."""
  model = compiled(*IGNORED[name][:3])
  monkeypatch.setattr(mjx_models, "find_unsupported", lambda model: None)
  assert np.abs(in_mjx(model) - in_c(model)).max() > 1e-3


@pytest.mark.parametrize("name", REFUSED)
def test_features_that_mjx_rejects_give_a_readable_error(name):
  template, feature, message = REFUSED[name]
  with pytest.raises(ValueError, match=f"MJX cannot.*{message}.*physics='mujoco'") as error:
    make_physics(compiled(template, feature), 1, "mjx")
  assert "mjt" not in str(error.value)


def compare(name):
  """Asserts that a feature has an effect, is accepted and agrees on both engines."""
  template, common, feature = ALIKE[name]
  model, plain = compiled(template, common, feature), compiled(template, common)
  want = in_c(model)
  assert np.abs(want - in_c(plain)).max() > 1e-4, "the feature has no effect"
  error = np.abs(in_mjx(model) - want) / np.maximum(1, np.abs(want))
  assert error.max() < 2e-4  # float32 for 10 steps, with contacts and stiff limits


@pytest.mark.parametrize("name", QUICK)
def test_mjx_simulates_accepted_features(name):
  compare(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in ALIKE if name not in QUICK])
def test_mjx_simulates_all_accepted_features(name):
  compare(name)


@pytest.mark.parametrize("name", ALIKE)
def test_features_that_mjx_simulates_are_accepted(name):
  assert find_unsupported(compiled(*ALIKE[name])) is None


@pytest.mark.parametrize("name", UNREAD)
def test_a_sensor_that_mjx_evaluates_wrongly_is_rejected_if_requested(name):
  template, feature, sensor, message = UNREAD[name]
  model = compiled(template, feature, {"rest": f"<sensor>{sensor}</sensor>"})
  assert find_unsupported(model) is None
  with pytest.raises(ValueError, match=f"MJX cannot simulate.*{message}"):
    make_physics(model, 1, "mjx", (0,))
  with pytest.raises(ValueError, match=message):
    mjx_dynamics(model, reward=speed, sensors=["s"])
  mjx_dynamics(model, reward=speed)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unsupported_sensor_type_is_named(name):
  parts = {"rest": f"<sensor>{UNKNOWN[name]}</sensor>", "other": 'range="-9 9"'}
  model = compiled(ARM, parts)
  with pytest.raises(ValueError, match=f"MJX cannot simulate.*{name}.*sensor 's'"):
    make_physics(model, 1, "mjx")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
  ("template", "parts"),
  [
    (ARM, {"rest": f"<sensor>{SENSED}</sensor>", **fixed('stiffness="9"')}),
    (BALL, {"rest": FELT}),
  ],
)
def test_mjx_evaluates_accepted_sensors(template, parts):
  model = compiled(template, {"option": 'magnetic="1 2 3"'}, parts)
  qpos, qvel, act, ctrl = begin(model)
  physics, data = (
    make_physics(model, 2, "mjx", tuple(range(model.nsensor))),
    mujoco.MjData(model),
  )
  state = jax.jit(lambda: physics.step(physics.init(qpos, qvel, act), ctrl))()
  data.qpos, data.qvel, data.ctrl = state.qpos, state.qvel, ctrl
  data.time = state.data.time
  mujoco.mj_forward(model, data)
  np.testing.assert_allclose(state.sensors, data.sensordata, rtol=2e-4, atol=2e-4)


def speed(obs, action, next_obs):
  return next_obs[0] - obs[0]


MOTOR = {"motor": '<motor name="m" joint="a" ctrlrange="-1 1"/>'}
WORST = {"joint": 'stiffness="1 2 3"', "option": 'noslip_iterations="3"', **MOTOR}


@pytest.mark.parametrize(
  "use",
  [
    lambda model: mjx_model(model),
    lambda model: mjx_dynamics(model, reward=speed),
    lambda model: mjx_dynamics(import_mjx().put_model(model, impl="jax"), reward=speed),
    lambda model: randomise(model, jax.random.key(0), 2, masses=(0.5, 2.0)),
    lambda model: make_task(
      "arm",
      model,
      "mjx",
      dt=0.01,
      episode_length=5,
      reward=speed,
      initial=lambda key: (jnp.zeros(2), jnp.zeros(2)),
      observe=lambda state: state.qpos,
    ),
  ],
)
def test_every_entry_point_to_mjx_rejects(use):
  with pytest.raises(ValueError, match=r"MJX cannot simulate.*polynomial stiffness of joint"):
    use(compiled(ARM, WORST))


def test_a_traced_model_is_not_checked():
  """Its values are unknown while tracing."""
  model = compiled(ARM, {"rest": '<sensor><force name="s" site="tip"/></sensor>'})

  def build_inside(params):
    mjx_dynamics(params, reward=speed, sensors=["s"])
    return mjx_model(params).body_mass

  params = import_mjx().put_model(model, impl="jax")
  assert jax.eval_shape(build_inside, params).shape == params.body_mass.shape


def test_the_error_lists_all_features_and_c_runs_the_file():
  xml = build(ARM, WORST).replace(
    "</actuator>", '</actuator><sensor><jointpos name="q" joint="a"/></sensor>'
  )
  with pytest.raises(ValueError, match="noslip_iterations; polynomial stiffness of joint 'a'"):
    make_mjcf(xml, cost={"q": 1.0}, physics="mjx")
  assert make_mjcf(xml, cost={"q": 1.0}, physics="mujoco").spec.obs_dim == 5


def test_auto_rejects_where_it_resolves_to_mjx(monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  xml = build(ARM, WORST).replace(
    "</actuator>", '</actuator><sensor><jointpos name="q" joint="a"/></sensor>'
  )
  with pytest.raises(ValueError, match="MJX cannot simulate the model 'arm'"):
    make_mjcf(xml, cost={"q": 1.0})


@pytest.mark.parametrize("name", ["springyield", "group", "motor armature"])
def test_features_that_warp_ignores_are_found(name):
  assert find_unsupported(compiled(*IGNORED[name][:3]), "Warp") is not None
  assert find_unsupported(compiled(*IGNORED["stiffness"][:3]), "Warp") is None
