"""Defines and checks the flags of ``experiments.plan``."""

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
"""Default number of plans per iteration for every search."""


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  text, number, whole = flags.DEFINE_string, flags.DEFINE_float, flags.DEFINE_integer
  for flag, name, default, meaning, *bound in (
    (text, "env", None, f"Task: {env_reference.known()}."),
    (text, "mjcf", None, "MuJoCo model (XML file) instead of a task; requires --cost."),
    (text, "cost", None, "Sensors and weights, such as tip_to_goal:1.0,hinge:0.5:3.14."),
    (number, "control_cost", None, "Weight of the squared controls, with --mjcf."),
    (text, "keyframe", None, "Keyframe in which episodes start, with --mjcf."),
    (number, "dt", None, "Control step in seconds, with --mjcf."),
    (text, "physics", "auto", "Simulator of the plant: mjx, mujoco (C engine) or auto."),
    (text, "model_physics", None, "Simulator of the planner's model. Default: --physics."),
    (text, "planner", "cem", f"Search: {', '.join(sorted(PLANNERS))}."),
    (whole, "samples", None, f"Plans per iteration. Default: {SAMPLES}.", 1),
    (whole, "iterations", 2, "Iterations of the search per replan.", 1),
    (whole, "horizon", None, "Control steps of a plan. Default: 1.25 s, within 10 to 50.", 1),
    (whole, "knots", None, "Knots of the spline to search over. Default: every action.", 1),
    (text, "interpolation", "linear", "Interpolation of knots: zero, linear or cubic."),
    (whole, "replan_every", 1, "Control steps between replans.", 1),
    (whole, "latency", 0, "Control steps until a chosen action takes effect.", 0),
    (number, "tolerance", None, "Stop iterating once the plan moves by less than this share."),
    (whole, "seed", 0, "Seed of episodes and plans.", 0),
    (whole, "steps", None, "Control steps of an episode. Default: the task's.", 1),
    (whole, "episodes", 1, "Episodes to run; 0: until Ctrl-C or a closed window.", 0),
    (whole, "traces", 24, "Candidate plans whose paths are drawn; 0: no paths.", 0),
    (text, "trace", None, "Site or body whose path is drawn. Default: the last body's."),
    (number, "speed", None, "Real-time factor; 0: as fast as possible. Default: 1 with --view "
                            "or --panel, otherwise 0.", 0),
    (whole, "panel_port", 0, "Port of the panel; 0: any free port.", 0),
    (text, "out", None, "Output folder. Default: runs/plan-TASK-PLANNER."),
  ):  # fmt: skip
    flag(name, default, meaning, *bound, flag_values=values)
  flags.DEFINE_enum(
    "loop",
    "step",
    ("step", "scan"),
    "Run an episode step by step or as one compiled program.",
    flag_values=values,
  )
  flags.DEFINE_multi_string(
    "set", [], "Settings of the search, NAME=VALUE; listed below", flag_values=values
  )
  flags.DEFINE_bool("view", False, "Open MuJoCo's interactive viewer.", flag_values=values)
  flags.DEFINE_bool(
    "panel", False, "Serve a web page with sliders on 127.0.0.1.", flag_values=values
  )
  flags.DEFINE_bool(
    "video",
    None,
    "Render a video of the last episode. Default: true without --view.",
    flag_values=values,
  )


def more_help(argv: list[str]) -> str:
  """Describes the settings of the planner given with ``--help``."""
  typed = dict(word.lstrip("-").split("=", 1) for word in argv[1:] if "=" in word)
  name = typed.get("planner") if typed.get("planner") in PLANNERS else "cem"
  return f"Settings of --planner={name}:\n{describe(name, _defaults(name))}"


def check(options: flags.FlagValues, dotted: cli.Dotted) -> None:
  """Checks flags that exclude each other, before anything is built.

  Raises:
    ValueError: names the flags.
  """
  for name in dotted["config"]:
    raise ValueError(f"--config.{name}: use --set {name}=... for settings of the search.")
  if options.loop == "scan":
    for name in ("view", "panel"):
      if options[name].value:
        raise ValueError(f"--{name} requires --loop=step.")
    if not options.episodes:
      raise ValueError("--episodes=0 requires --loop=step.")
  between(0, 65_535, **{"--panel_port": options.panel_port})
  if options.view:
    check_screen()


def build(options: flags.FlagValues, overrides: dict[str, str]) -> Setup:
  """Builds task and planner.

  Raises:
    ValueError: names the flag, its value and the valid ones.
  """
  keywords: dict[str, Any] = _defaults(options.planner)
  for text in options.set:
    name, equals, value = text.partition("=")
    if not equals:
      raise ValueError(f"--set {text!r} must have the form NAME=VALUE.")
    keywords[name] = value
  if options.samples is not None:
    if any(text.startswith("samples=") for text in options.set):
      raise ValueError("--samples and --set samples=... exclude each other.")
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
  """Refuses the viewer and a traced site or body for tasks without a MuJoCo model."""
  if model is not None:
    model_point(model, options.trace)
  elif options.view:
    raise ValueError(f"--view requires a MuJoCo model; {name} has none. Omit it for a video.")
  elif options.trace is not None:
    raise ValueError(f"--trace requires a MuJoCo model; {name} has none.")


def _defaults(planner: str) -> dict[str, Any]:
  """Returns this program's own defaults of a search's keywords."""
  return {"samples": SAMPLES} if "samples" in make_keywords(planner, {}) else {}
