"""Makes the command of each stage: an ordinary command that can also be typed by hand."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.mbmf.agents import (
  ENVS,
  FOLLOW_STEPS,
  KEPT_EPISODES,
  KEPT_RETURN,
  Agent,
)

SHARED = ("config.model.", "config.planner.")
"""Overrides of the model stage that also apply to the imitation of its planner."""

Overrides = Mapping[str, Mapping[str, str]]
"""Flags of stages: ``{"model": {"config.steps": "2000"}}``."""


class Request(NamedTuple):
  """What a seed's stages are made for.

  Attributes:
    agent: the agent.
    path: name of the path to follow, ``None``: run forward.
    seed: the seed.
    folder: of this seed's results.
    overrides: flags that replace or extend those of a stage.
  """

  agent: Agent
  path: str | None
  seed: int
  folder: Path
  overrides: Overrides


Words = Callable[[Request], list[str]]


def words(stage: str, request: Request) -> list[str]:
  """Returns the command of a stage, from ``python`` on."""
  program, *flags = WORDS[stage](request)
  own = {word[2:].partition("=")[0]: word for word in flags}
  own |= {name: f"--{name}={text}" for name, text in request.overrides.get(stage, {}).items()}
  return [sys.executable, "-m", f"experiments.{program}", *own.values()]


def shown(command: Sequence[str]) -> str:
  """Returns a command as text for a shell, with ``python`` for the interpreter's path."""
  return shlex.join(["python", *command[1:]])


def _random(request: Request) -> list[str]:
  agent = request.agent
  data = agent if request.path is None else agent.follow
  return [
    "collect",
    *_task(request, "data"),
    f"--env.episode_length={data.length}",
    *(agent.env if request.path is None else ()),
    "--policy=random",
    f"--episodes={data.episodes}",
    f"--seed={request.seed}",
    f"--out={request.folder / 'random.npz'}",
  ]


def _model(request: Request) -> list[str]:
  """Its own rollouts are the evaluation: others would plan as many steps again."""
  data = request.folder / "random.npz"
  steps = request.agent.model_steps if request.path is None else FOLLOW_STEPS
  return [
    *_train(request, "mbmf", "mpc", "model"),
    f"--config.dataset={data}",
    f"--config.steps={steps}",
    "--eval_every=0",
  ]


def _rollouts(request: Request) -> list[str]:
  """The planner's actions are kept without their noise: they are the labels of imitation."""
  return [
    "collect",
    f"--run={request.folder / 'model'}",
    "--greedy",
    f"--episodes={KEPT_EPISODES}",
    f"--min_return={KEPT_RETURN:g}",
    f"--seed={request.seed}",
    f"--out={request.folder / 'rollouts.npz'}",
  ]


def _imitation(request: Request) -> list[str]:
  """Its model and planner are those of the model stage."""
  shared = [
    f"--{name}={text}"
    for name, text in request.overrides.get("model", {}).items()
    if name.startswith(SHARED)
  ]
  return [
    *_train(request, "dagger", "mpc", "imitation"),
    *shared,
    f"--init_policy={request.folder / 'model'}",
    f"--config.dataset={request.folder / 'rollouts.npz'}",
  ]


def _hybrid(request: Request) -> list[str]:
  return [
    *_trpo(request, "hybrid", "hybrid"),
    f"--init_policy={request.folder / 'imitation'}",
  ]


def _model_free(request: Request) -> list[str]:
  return _trpo(request, "model_free", "paper")


def _trpo(request: Request, folder: str, preset: str) -> list[str]:
  return [
    *_train(request, "trpo", "data", folder, preset),
    f"--envs={ENVS}",
    f"--config.steps={request.agent.steps}",
    "--norollouts",
    "--novideo",
  ]


def _train(
  request: Request, algo: str, reset: str, folder: str, preset: str = "paper"
) -> list[str]:
  return [
    "train",
    f"--algo={algo}",
    *_task(request, reset),
    f"--preset={preset}",
    f"--seed={request.seed}",
    f"--logdir={request.folder / folder}",
  ]


def _task(request: Request, reset: str) -> list[str]:
  if request.path is None:
    return [f"--env={request.agent.task}", f"--env.reset={reset}"]
  follow = request.agent.follow
  return [f"--env={follow.task}", f"--env.path={request.path}", f"--env.reset={reset}"]


WORDS: dict[str, Words] = {
  "random": _random,
  "model": _model,
  "rollouts": _rollouts,
  "imitation": _imitation,
  "hybrid": _hybrid,
  "model_free": _model_free,
}
"""The program and the flags of each stage."""
