"""The flags of ``experiments.plan``, and what they must not ask for."""

from __future__ import annotations

from typing import Any

from absl import flags

from experiments.command_line import cli, env_reference
from experiments.command_line.flag_error import flag_error
from experiments.plan.setup import (
  PLANNERS,
  Setup,
  describe,
  make_keywords,
  make_search,
  make_setup,
)
from experiments.plan.task import make_tasks
from mbrl_jax.ops.validate import between
from mbrl_jax.runtime.rendering.plan_overlay import model_point
from mbrl_jax.runtime.rendering.viewer import check_screen

LOOP = ("iterations", "replan_every", "knots", "interpolation", "latency", "tolerance")
"""Flags that are keywords of ``make_planner``."""
SAMPLES = 128
"""Plans in an iteration, of every search: enough for the tasks here, and quick."""


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  text, number, whole = flags.DEFINE_string, flags.DEFINE_float, flags.DEFINE_integer
  for flag, name, default, meaning, *bound in (
    (text, "env", None, f"Task: {env_reference.known()}."),
    (text, "mjcf", None, "MuJoCo model (XML) to plan for instead of a task; needs --cost."),
    (text, "cost", None, "Sensors and weights: tip_to_goal:1.0,hinge:0.5:3.14."),
    (number, "control_cost", None, "Weight of the squared controls, with --mjcf."),
    (text, "keyframe", None, "Keyframe of the model in which episodes start."),
    (number, "dt", None, "Seconds of a control step of --mjcf."),
    (text, "physics", "auto", "What is acted in: mjx, mujoco (C engine) or auto."),
    (text, "model_physics", None, "What is planned over. Default: as --physics."),
    (text, "planner", "cem", f"Search: {', '.join(sorted(PLANNERS))}."),
    (whole, "samples", None, f"Plans in an iteration. Default: {SAMPLES}.", 1),
    (whole, "iterations", 2, "Rounds of sampling in each replan.", 1),
    (whole, "horizon", None, "Control steps of a plan. Default: those of 1.25 s, 10 to 50.", 1),
    (whole, "knots", None, "Search over so many knots instead of every action.", 1),
    (text, "interpolation", "linear", "Between knots: zero, linear or cubic."),
    (whole, "replan_every", 1, "Control steps that are executed of each plan.", 1),
    (whole, "latency", 0, "Control steps until a chosen action takes effect.", 0),
    (number, "tolerance", None, "Stop iterating when the plan moves less, as a share."),
    (whole, "seed", 0, "Seed of episodes and plans.", 0),
    (whole, "steps", None, "Control steps of an episode. Default: the task's.", 1),
    (whole, "episodes", 1, "Episodes to run; 0: until Ctrl-C or a closed window.", 0),
    (whole, "traces", 24, "Candidates whose paths are drawn; 0: no traces.", 0),
    (text, "trace", None, "Site or body whose path is drawn. Default: on the last body."),
    (number, "speed", None, "Simulated seconds a second; 0: as fast as it can. Default: 1 "
                            "with --view or --panel, else 0.", 0),
    (whole, "panel_port", 0, "Port of the panel; 0: any free one.", 0),
    (text, "out", None, "Folder to write. Default: runs/plan-TASK-PLANNER."),
  ):  # fmt: skip
    flag(name, default, meaning, *bound, flag_values=values)
  flags.DEFINE_enum(
    "loop", "step", ("step", "scan"), "Step by step, or in one program.", flag_values=values
  )
  flags.DEFINE_multi_string(
    "set", [], "Keyword of the search: --set NAME=VALUE ...; see below.", flag_values=values
  )
  flags.DEFINE_bool("view", False, "Show MuJoCo's interactive window.", flag_values=values)
  flags.DEFINE_bool("panel", False, "Serve sliders on 127.0.0.1.", flag_values=values)
  flags.DEFINE_bool(
    "video", None, "Film the last episode. Default: unless --view.", flag_values=values
  )


def more_help(argv: list[str]) -> str:
  """Describes the keywords of the planner given with ``--help``."""
  typed = dict(word.lstrip("-").split("=", 1) for word in argv[1:] if "=" in word)
  name = typed.get("planner") if typed.get("planner") in PLANNERS else "cem"
  return f"Keywords of --planner={name}:\n{describe(name, _defaults(name))}"


def check(options: flags.FlagValues, dotted: cli.Dotted) -> None:
  """Refuses what can not be combined or shown, before anything is built."""
  for name in dotted["config"]:
    raise ValueError(f"--config.{name}: keywords of the search are given as --set {name}=...")
  if options.loop == "scan":
    for name in ("view", "panel"):
      if options[name].value:
        raise ValueError(f"--{name} needs --loop=step: a compiled episode can not be watched.")
    if not options.episodes:
      raise ValueError("--episodes=0 needs --loop=step.")
  between(0, 65_535, **{"--panel_port": options.panel_port})
  if options.view:
    check_screen()


def build(options: flags.FlagValues, overrides: dict[str, str]) -> Setup:
  """Builds task and planner.

  Raises:
    ValueError: names the flag, its value and what there is.
  """
  keywords: dict[str, Any] = _defaults(options.planner)
  for text in options.set:
    name, equals, value = text.partition("=")
    if not equals:
      raise ValueError(f"--set {text!r} is not NAME=VALUE.")
    keywords[name] = value
  if options.samples is not None:
    if any(text.startswith("samples=") for text in options.set):
      raise ValueError("--samples and --set samples=... give the same; drop one.")
    keywords["samples"] = options.samples
  try:
    search = make_search(options.planner, keywords)
  except ValueError as error:
    raise flag_error(error, "--set ") from error
  env, model = make_tasks(options, overrides, search.gradients)
  loop = {name: getattr(options, name) for name in LOOP}
  setup = make_setup(
    env, model, planner=options.planner, keywords=keywords, horizon=options.horizon, **loop
  )
  check_drawing(options, getattr(env, "model", None), env.spec.name)
  return setup


def check_drawing(options: flags.FlagValues, model: Any, name: str) -> None:
  """Refuses a window or the path of a named point where there is no MuJoCo model."""
  if model is not None:
    model_point(model, options.trace)
  elif options.view:
    raise ValueError(f"--view needs a MuJoCo model, and {name} has none; a video is filmed.")
  elif options.trace is not None:
    raise ValueError(f"--trace needs a MuJoCo model, and {name} has none.")


def _defaults(planner: str) -> dict[str, Any]:
  """Returns what this program sets where nothing is said."""
  return {"samples": SAMPLES} if "samples" in make_keywords(planner, {}) else {}
