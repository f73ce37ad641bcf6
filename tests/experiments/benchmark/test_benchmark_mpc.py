"""The tasks on which sampling-based controllers are compared are equal in every library."""

import math

import mujoco
import numpy as np
import pytest

from experiments.benchmark.peers import mjcf_tasks, ours_mjx, ours_mppi, swingup
from experiments.benchmark.peers.mjcf_tasks import TASKS

STATES = np.float32([[3.0, 0.5], [-2.0, 7.9], [7.0, -3.0], [0.1, -7.9]])


def expected_costs(states):
  wrapped = (states[:, 0] + math.pi) % (2 * math.pi) - math.pi
  return wrapped**2 + 0.1 * states[:, 1] ** 2


@pytest.mark.parametrize("torque", [-2.0, 0.3, 2.0])
def test_mbrl_jax_plans_with_the_pendulum_of_the_episodes(torque):
  from mbrl_jax.envs.physics.base import PhysicsState

  for state in STATES:
    after, _ = swingup.advance(state, torque)
    start = PhysicsState(*state)
    planned, reward, ended = ours_mppi._step(None, start, np.float32([torque]), None)
    found = [float(planned.qpos), float(planned.qvel)]
    assert found == pytest.approx(after, abs=1e-5) and not ended
    assert -reward == pytest.approx(expected_costs(after[None])[0], rel=1e-4)


def test_torch_plans_with_the_pendulum_of_the_episodes():
  torch = pytest.importorskip("torch")
  from experiments.benchmark.peers import pytorch_mppi

  torques = np.float32([[-2.0], [0.3], [2.0], [1.0]])
  after = pytorch_mppi._dynamics(torch.tensor(STATES), torch.tensor(torques)).numpy()
  expected = [swingup.advance(s, float(u[0]))[0] for s, u in zip(STATES, torques, strict=True)]
  assert after == pytest.approx(np.stack(expected), abs=1e-5)
  costs = pytorch_mppi._cost(torch.tensor(after), torch.tensor(torques)).numpy()
  assert costs == pytest.approx(expected_costs(after), rel=1e-4)


def test_pendulum_of_the_episodes_matches_the_environment():
  from mbrl_jax.envs.physics.base import PhysicsState
  from mbrl_jax.envs.tasks.analytic import pendulum

  for state in STATES:
    after, reward = swingup.advance(state, 5.0)
    physics = pendulum.step(PhysicsState(state[:1], state[1:]), np.float32([2.0]))
    assert [float(physics.qpos[0]), float(physics.qvel[0])] == pytest.approx(after, abs=1e-5)
    obs = pendulum.observe(PhysicsState(state[:1], state[1:]))
    assert reward == pytest.approx(
      float(pendulum.reward(obs, np.float32([5.0]), obs)), rel=1e-4
    )


def test_episode_times_every_call_of_the_policy(monkeypatch):
  monkeypatch.setattr(swingup, "STEPS", 20)
  pushed = swingup.episode(lambda state: 2.0)
  still = swingup.episode(lambda state: 0.0)
  assert 0 < still["seconds"] <= still["slow"] and still["finite"]
  assert still["return"] == pytest.approx(-20 * math.pi**2, rel=1e-3)
  assert pushed["return"] > still["return"]
  assert not swingup.episode(lambda state: math.nan)["finite"]


def test_mbrl_jax_controls_an_episode(monkeypatch):
  monkeypatch.setattr(swingup, "STEPS", 5)
  jobs = ours_mppi.Jobs()
  assert jobs.setup_mppi(samples=32, horizon=4)["compile_seconds"] > 0
  first, second = jobs.episode(), jobs.episode()
  assert first["finite"] and first["return"] != second["return"]


@pytest.mark.parametrize("name", TASKS)
def test_plans_use_the_cost_and_dynamics_of_the_task(name):
  task = TASKS[name]
  dynamics, params, start = ours_mjx.make_dynamics(task, "mujoco")
  ctrl = np.full(len(task.start[0]), 0.5, np.float32)
  state, reward, _ = dynamics.step(params, start, ctrl, ())
  model = mujoco.MjModel.from_xml_path(task.mjcf)
  data = mujoco.MjData(model)
  data.qpos[:], data.qvel[:], data.ctrl[:] = *task.start, ctrl
  cost = task.state_cost(np, data.qpos, data.qvel) + task.control_cost(np, ctrl)
  assert float(reward) == pytest.approx(-model.opt.timestep * cost, rel=1e-5)
  mujoco.mj_step(model, data)
  assert np.asarray(state.qpos) == pytest.approx(data.qpos, abs=1e-6)
  assert np.asarray(state.qvel) == pytest.approx(data.qvel, abs=1e-5)


def test_pendulum_equation_matches_its_mujoco_model():
  task = TASKS["pendulum"]
  step, params, state = ours_mjx.physics_step(task, "analytic")
  model = mujoco.MjModel.from_xml_path(task.mjcf)
  data = mujoco.MjData(model)
  for torque in np.random.default_rng(0).uniform(-1.5, 1.5, 50):
    data.ctrl[:] = torque
    mujoco.mj_step(model, data)
    state = step(params, state, np.float32([torque]))
  assert float(state.qpos[0]) == pytest.approx(data.qpos[0], abs=1e-3)
  assert float(state.qvel[0]) == pytest.approx(data.qvel[0], abs=1e-3)
  with pytest.raises(ValueError, match="only the pendulum"):
    ours_mjx.physics_step(TASKS["particle"], "analytic")


def test_mbrl_jax_replans_an_episode(monkeypatch):
  monkeypatch.setattr(mjcf_tasks, "SAMPLES", 16)
  monkeypatch.setattr(mjcf_tasks, "EPISODE", 0.1)
  jobs = ours_mjx.Jobs()
  assert jobs.setup_mjx("pendulum", "analytic")["compile_seconds"] > 0
  answer = jobs.episode()
  assert answer["finite"] and 3.0 < answer["cost"] < 4.1 and answer["seconds"] > 0
  assert jobs.planner.init().search.mean.shape == (mjcf_tasks.KNOTS, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_mbrl_jax_replans_on_mjx(name, monkeypatch):
  monkeypatch.setattr(mjcf_tasks, "SAMPLES", 16)
  monkeypatch.setattr(mjcf_tasks, "EPISODE", 0.1)
  jobs = ours_mjx.Jobs()
  jobs.setup_mjx(name, "mjx")
  assert jobs.episode()["finite"]
