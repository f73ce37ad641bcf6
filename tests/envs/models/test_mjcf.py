"""Tests tasks from MJCF files: costs of current sensors, initial states, errors."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mjcf_models import ARM

from mbrl_jax.envs import env_dynamics, make_mjcf
from mbrl_jax.envs.asset import load_asset
from mbrl_jax.planners import cem, make_evaluate, make_planner

pytestmark = pytest.mark.timeout(120)
COST = {"speed": 0.5, "tip": (2.0, (0.1, 0.0, 0.6))}

FLOATING = """
<mujoco>
  <worldbody>
    <body name="goal" mocap="true" pos="1 2 3"/>
    <body><freejoint/><geom size=".1"/>
      <body pos=".2 0 0"><joint name="wrist" type="ball"/><geom size=".1" pos=".1 0 0"/></body>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="wrist" gear="1 0 0" ctrlrange="-1 2"/></actuator>
  <sensor><framepos name="goal" objtype="xbody" objname="goal"/></sensor>
  <keyframe>
    <key name="high" qpos="0 0 5 1 0 0 0 1 0 0 0"/>
    <key name="far" mpos="7 8 9" qvel="1 0 0 0 0 0 0 0 0"/>
  </keyframe>
</mujoco>"""

SLED = """
<mujoco model="sled">
  <option timestep="0.01"/>
  <worldbody><body>
    <joint name="slide" type="slide" axis="1 0 0" damping="1"/><geom size=".1" mass="1"/>
  </body></worldbody>
  <actuator><motor name="push" joint="slide" {range}/></actuator>
  <sensor><jointpos name="place" joint="slide"/><jointvel joint="slide"/>{sensor}</sensor>
</mujoco>"""


def sled(limits='ctrlrange="-5 5"', sensor=""):
  return SLED.format(range=limits, sensor=sensor)


ALL = ["tip", "speed", "shake", "effort", "clock"]


@pytest.mark.slow
@pytest.mark.parametrize("physics", ["mujoco", "mjx"])
def test_sensors_belong_to_the_state_itself(physics):
  """After a reset and after a step they equal those of ``mj_forward``."""
  task = make_mjcf(ARM, cost=dict.fromkeys(ALL, 1.0), keyframe="up", physics=physics, dt=0.03)
  state = jax.jit(task.reset)(jax.random.key(0))
  step = jax.jit(task.step)
  data, stale = mujoco.MjData(task.model), mujoco.MjData(task.model)
  mujoco.mj_resetDataKeyframe(task.model, stale, 0)
  ctrl = np.zeros(2, np.float32)
  for _ in range(3):
    physical = state.physics
    data.qpos, data.qvel, data.act = physical.qpos, physical.qvel, physical.data.act
    data.ctrl, data.time = ctrl, physical.data.time
    mujoco.mj_forward(task.model, data)
    np.testing.assert_allclose(state.obs[:4], np.r_[data.qpos, data.qvel], rtol=1e-6)
    np.testing.assert_allclose(state.obs[4], data.act[0], rtol=1e-6)
    np.testing.assert_allclose(state.obs[5:], data.sensordata, rtol=2e-5, atol=2e-5)
    ctrl = np.float32([0.8, -0.4])
    state, _ = step(state, ctrl, jax.random.key(0))
    stale.ctrl = ctrl
    mujoco.mj_step(task.model, stale, 3)
  assert np.abs(state.obs[5:8] - stale.sensordata[:3]).max() > 1e-4, "the sensors do not differ"


def test_the_reward_is_the_negative_cost():
  task = make_mjcf(ARM, cost=COST, control_cost=0.1, physics="mujoco")
  assert task.spec.obs_dim == 5 + 4 and task.spec.name == "arm"
  np.testing.assert_array_equal(task.spec.action_high, [2.0, 1.0])
  obs, next_obs = np.zeros(9, np.float32), np.arange(9, dtype=np.float32)
  got = task.spec.reward(obs, np.float32([1.0, -2.0]), next_obs)
  tip = (6 - 0.1) ** 2 + 7**2 + (8 - 0.6) ** 2
  np.testing.assert_allclose(got, -(0.5 * 5**2 + 2.0 * tip + 0.1 * 5), rtol=1e-6)


def test_a_function_can_be_the_cost():
  def cost(sensors, ctrl):
    assert {name: x.shape for name, x in sensors.items()} == {"place": (), "twice": (3,)}
    return jnp.abs(sensors["place"] - 1.0) + ctrl[0]

  twice = '<framepos name="twice" objtype="geom" objname="ball"/>'
  task = make_mjcf(
    sled(sensor=twice).replace("<geom", '<geom name="ball"'), cost=cost, physics="mujoco"
  )
  assert task.spec.obs_dim == 2 + 4
  got = task.spec.reward(jnp.zeros(6), jnp.ones(1), jnp.arange(6.0))
  np.testing.assert_allclose(got, -(1.0 + 1.0))


def test_rewards_of_transitions_are_those_of_the_specification():
  task = make_mjcf(ARM, cost=COST, control_cost=0.1, physics="mujoco", initial_noise=0.1)
  keys = jax.random.split(jax.random.key(0), 5)
  states = jax.vmap(task.reset)(keys)
  assert len(np.unique(states.obs[:, 0])) == 5
  actions = jax.random.normal(keys[0], (5, 2))
  _, batch = jax.jit(jax.vmap(task.step))(states, actions, keys)
  for i, key in enumerate(keys):
    _, one = task.step(task.reset(key), actions[i], key)
    np.testing.assert_array_equal(batch.next_obs[i], one.next_obs)
    np.testing.assert_allclose(
      batch.reward[i], task.spec.reward(one.obs, actions[i], one.next_obs), rtol=1e-5
    )


def test_a_planner_reaches_the_target(tmp_path):
  path = tmp_path / "sled.xml"
  path.write_text(sled())
  task = make_mjcf(path, cost={"place": (1.0, 0.5)}, control_cost=1e-4, physics="mujoco")
  spec = task.spec
  np.testing.assert_allclose(spec.dt, 0.02)
  planner = make_planner(
    cem(samples=48, elites=6),
    make_evaluate(env_dynamics(task)),
    horizon=15,
    action_low=spec.action_low,
    action_high=spec.action_high,
    knots=4,
    iterations=2,
  )

  def body(carry, key):
    state, plan_state = carry
    output, plan_state = planner.plan(None, state, plan_state, key)
    state, transition = task.step(state, output.action, key)
    return (state, plan_state), transition.next_obs[0]

  keys = jax.random.split(jax.random.key(0), 75)
  start = task.reset(keys[0]), planner.init()
  places = jax.jit(lambda: jax.lax.scan(body, start, keys)[1])()
  np.testing.assert_allclose(places[-10:], 0.5, atol=0.1)


def test_keyframes_by_name_and_number():
  cost, key = {"goal": 1.0}, jax.random.key(0)
  plain = make_mjcf(FLOATING, cost=cost, physics="mujoco").reset(key)
  np.testing.assert_array_equal(plain.obs[-3:], [1, 2, 3])
  high = make_mjcf(FLOATING, cost=cost, physics="mujoco", keyframe="high").reset(key)
  assert high.physics.qpos[2] == 5
  far = make_mjcf(FLOATING, cost=cost, physics="mujoco", keyframe=1)
  state = far.reset(key)
  np.testing.assert_array_equal(state.obs[-3:], [7, 8, 9])
  assert state.physics.qvel[0] == 1
  state, _ = far.step(state, jnp.zeros(1), key)
  np.testing.assert_array_equal(state.obs[-3:], [7, 8, 9])


def test_noise_keeps_quaternions_normalised():
  task = make_mjcf(FLOATING, cost={"goal": 1.0}, physics="mujoco", initial_noise=0.3)
  qpos = jax.vmap(lambda key: task.reset(key).physics.qpos)(
    jax.random.split(jax.random.key(0), 200)
  )
  for span in (slice(3, 7), slice(7, 11)):
    np.testing.assert_allclose(jnp.linalg.norm(qpos[:, span], axis=1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(jnp.std(qpos[:, :3]), 0.3, rtol=0.1)
  assert jnp.std(qpos[:, 9]) > 0.1


def test_an_unnamed_model_takes_the_name_of_its_file(tmp_path):
  path = tmp_path / "my_sled.xml"
  path.write_text(sled().replace(' model="sled"', ""))
  assert make_mjcf(str(path), cost={"place": 1}, physics="mujoco").spec.name == "my_sled"


UNSUPPORTED = """<mujoco model="hills"><worldbody>
  <geom type="hfield" hfield="hills"/>
  <body><joint name="slide" type="slide"/><geom type="cylinder" size=".1 .1"/></body>
  </worldbody><asset><hfield name="hills" nrow="3" ncol="3" size="1 1 1 1"/></asset>
  <actuator><motor joint="slide" ctrlrange="-1 1"/></actuator>
  <sensor><jointpos name="place" joint="slide"/></sensor></mujoco>"""


@pytest.mark.parametrize(
  ("xml", "arguments", "message"),
  [
    ("none.xml", {}, r"There is no file 'none.xml'"),
    (
      "<mujoco>\n<worldbody>\n<bdy/></worldbody></mujoco>",
      {},
      "MuJoCo cannot load.*bdy.*line 3",
    ),
    (sled(), {"cost": {"plaec": 1.0}}, "sensor='plaec'.*Did you mean 'place'"),
    (sled(), {"cost": {}}, "names no sensor"),
    (
      sled().replace("<worldbody>", '<option><flag sensor="disable"/></option><worldbody>', 1),
      {},
      "sensor='place' always reads 0: the model disables sensors",
    ),
    (sled(), {"cost": {"place": "much"}}, r"cost\['place'\]='much' must be a finite weight"),
    (sled(), {"cost": {"place": (1.0, np.nan)}}, "finite"),
    (
      sled(),
      {"cost": {"place": (1.0, (1, 2))}},
      "target has 2 numbers, but the sensor has 1",
    ),
    (sled(""), {}, "actuator 'push' has no limits"),
    (
      sled().replace("<motor", "<!--").replace("/></actuator", "--></actuator"),
      {},
      "no actuat",
    ),
    (sled(), {"dt": 0.015}, "dt=0.015 is not a multiple.*0.01.*nearest is 0.0[12]"),
    (sled(), {"keyframe": 0}, "keyframe=0: the model has 0 keyframes"),
    (FLOATING, {"cost": {"goal": 1}, "keyframe": "hihg"}, "Did you mean 'high'.*'far'"),
    (sled(), {"episode_length": 0}, "episode_length=0 must be positive"),
    (sled(), {"initial_noise": -1.0}, "initial_noise=-1.0 must be at least 0"),
    (sled(), {"physics": "wrap"}, "physics='wrap'.*Did you mean 'warp'"),
    ("<mujoco><worldbody></mujoco>", {}, "MuJoCo cannot load the XML.*Line number=1"),
    (UNSUPPORTED, {"physics": "mjx"}, "MJX cannot.*'hills'.*CYLINDER.*physics='mujoco'"),
  ],
)
def test_rejects_invalid_arguments(xml, arguments, message):
  with pytest.raises(ValueError, match=message):
    make_mjcf(xml, **{"cost": {"place": 1.0}, "physics": "mujoco", **arguments})


def test_errors_name_the_file(tmp_path):
  path, part = tmp_path / "robot.xml", tmp_path / "legs.xml"
  path.write_text('<mujoco>\n<worldbody><include file="legs.xml"/></worldbody></mujoco>')
  part.write_text('<mujocoinclude>\n<geom size="wide"/></mujocoinclude>')
  message = "robot.xml'.*'size'.*'geom', line 0 .in an included file: legs.xml"
  with pytest.raises(ValueError, match=message):
    make_mjcf(path, cost={"place": 1.0})
  path.write_text(UNSUPPORTED)
  with pytest.raises(ValueError, match=r"robot\.xml: MJX cannot.*'hills'.*CYLINDER"):
    make_mjcf(path, cost={"place": 1.0}, physics="mjx")


def test_errors_of_assets_name_the_file():
  def spoil(spec):
    spec.worldbody.add_body(name="massless").add_joint()

  with pytest.raises(ValueError, match=r"MuJoCo cannot load cartpole\.xml: .*'massless'"):
    load_asset("cartpole", spoil)
