"""Makes tasks and Gymnasium's environments, and steps the latter from given states.

``test_gym_family`` compares the two where Gymnasium is installed, and always with the numbers
that ``python tests/envs/tasks/gym/gym_family.py`` recorded in ``golden/gymnasium.npz``.
"""

import importlib
import pathlib
import sys
import types
import warnings

import mujoco
import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden" / "gymnasium.npz"

_NO_CONTACTS = {"contact_cost_weight": 0.0, "include_cfrc_ext_in_observation": False}
_BARE = {f"include_{x}_in_observation": False for x in ("cinert", "cvel", "qfrc_actuator")}
_ENVS = {
  "halfcheetah": ("half_cheetah", "HalfCheetahEnv", {}),
  "hopper": ("hopper", "HopperEnv", {}),
  "walker2d": ("walker2d", "Walker2dEnv", {}),
  "ant": ("ant", "AntEnv", _NO_CONTACTS),
  "humanoid": ("humanoid", "HumanoidEnv", {**_NO_CONTACTS, **_BARE}),
  "inverted_pendulum": ("inverted_pendulum", "InvertedPendulumEnv", {}),
  "inverted_double_pendulum": ("inverted_double_pendulum", "InvertedDoublePendulumEnv", {}),
}
NAMES = list(_ENVS)


def module(name):
  """Returns the module of a task."""
  return importlib.import_module(f"mbrl_jax.envs.tasks.gym.{name}")


def make_task(name, version=5, physics="mujoco"):
  """Makes the task; the half-cheetah has a single version."""
  arguments = {} if name == "halfcheetah" else {"version": version}
  return getattr(module(name), f"make_{name}")(physics, **arguments)


def make_gymnasium(name, version=5):
  """Makes Gymnasium's environment without wrappers for time limit or checks."""
  file, kind, arguments = _ENVS[name]
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    source = importlib.import_module(f"gymnasium.envs.mujoco.{file}_v{version}")
    return getattr(source, kind)(**arguments if version == 5 else {})


def use_state_after_step(env):
  """Makes Gymnasium's reward use the state after the step.

  With RK4 the kinematics after a step are those of the integrator's last stage.
  """
  simulate = env.do_simulation

  def do_simulation(self, action, frames):
    simulate(action, frames)
    mujoco.mj_kinematics(self.model, self.data)
    mujoco.mj_comPos(self.model, self.data)

  env.do_simulation = types.MethodType(do_simulation, env)


def step(env, qpos, qvel, action):
  """Takes one step; returns ``(next qpos, next qvel, next obs, reward, terminated)``.

  The solver starts cold, as after ``Physics.init``: where it reaches its iteration limit, in
  the humanoid, the next state depends on that.
  """
  env.set_state(qpos, qvel)
  env.data.qacc_warmstart[:] = 0
  obs, reward, terminated, _, _ = env.step(action)
  return env.data.qpos.copy(), env.data.qvel.copy(), obs, float(reward), bool(terminated)


FIELDS = (
  "qpos",
  "qvel",
  "action",
  "next_qpos",
  "next_qvel",
  "next_obs",
  "reward",
  "terminated",
)


def rollouts(name, version, starts=8, steps=200, seed=0):
  """Takes random actions from several resets; only full turns end an episode, not falls.

  States are rounded to float32 before each step, because that is what jax starts from.

  Returns:
    Arrays ``[starts * steps, ...]`` by the names in ``FIELDS``, and ``lagging_reward``:
    the reward of the unmodified environment, see ``use_state_after_step``.
  """
  env, lagging, rows = make_gymnasium(name, version), make_gymnasium(name, version), []
  use_state_after_step(env)
  rng = np.random.default_rng(seed)
  for start in range(starts):
    env.reset(seed=seed + start)
    for _ in range(steps):
      if np.abs(env.data.qpos).max() > 2 * np.pi:
        env.reset()
      state = [np.float64(np.float32(x)) for x in (env.data.qpos, env.data.qvel)]
      action = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
      reward = step(lagging, *state, action)[3]
      rows.append((*state, action, *step(env, *state, action), reward))
  columns = [np.array(column) for column in zip(*rows, strict=True)]
  return dict(zip((*FIELDS, "lagging_reward"), columns, strict=True))


def _spread(rows, count):
  return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def record():
  """Records up to ten steps of each environment and version, with and without a fall."""
  golden = {}
  for name in NAMES:
    for version in (4, 5):
      data = rollouts(name, version)
      standing, fallen = (np.flatnonzero(data["terminated"] == x) for x in (False, True))
      rows = np.concatenate([_spread(standing, 6), _spread(fallen, 4)])
      data["next_obs"] = data["next_obs"][:, :45]
      golden |= {f"{name}/{version}/{field}": data[field][rows] for field in FIELDS}
  GOLDEN.parent.mkdir(exist_ok=True)
  np.savez_compressed(GOLDEN, **golden)
  print(f"{GOLDEN.name}: {len(golden)} arrays, {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
  sys.exit(record())
