"""Runs a planner with the exact model, on a task or on your own MuJoCo model.

  python -m experiments.plan --env=pendulum
  python -m experiments.plan --env=cartpole --planner=mppi --samples=256 --set temperature=0.3
  python -m experiments.plan --env=cartpole --view --episodes=0      a window, in real time
  python -m experiments.plan --env=pendulum --panel --episodes=0     sliders in a browser
  python -m experiments.plan --mjcf=arm.xml --cost=tip_to_goal:1.0,elbow_speed:0.1
  python -m experiments.plan --env=my_task.py:make_task --horizon=40 --knots=6

--cost is a weighted sum over sensors of the model: SENSOR:WEIGHT penalises the squared
measurement, SENSOR:WEIGHT:TARGET the squared distance from a target (0/0/1 for a vector).
--env.NAME=VALUE sets an argument of the task, such as --env.action_noise=0.1.

--loop=step plans and simulates step by step, as on a robot, and times each plan; --loop=scan
runs the whole episode as one compiled program. Without --view the program renders a video of
the last episode with the paths of the executed plan and of candidate plans. The output folder
--out receives the video, curves.png, plan.csv and summary.json; existing files are replaced.

Exit status: 0 finished; 130 stopped by Ctrl-C, results so far are written; 1 a return was not
finite (results are written), the task failed or the disk is full; 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import rich.console
from absl import flags

from experiments.command_line import cli, outputs
from experiments.command_line.flag_error import flag_error
from experiments.plan import control, results
from experiments.plan import options as planning_options
from experiments.plan.options import build, check, more_help
from experiments.plan.session import EpisodeResult, Session
from experiments.plan.setup import Setup, make_search
from mbrl_jax.ops.validate import between
from mbrl_jax.runtime.rendering import viewer as window
from mbrl_jax.runtime.rendering.panel import Panel
from mbrl_jax.runtime.rendering.plan_overlay import model_point
from mbrl_jax.runtime.storage.csv_log import Table
from mbrl_jax.runtime.training.interrupt import Interrupt
from mbrl_jax.runtime.training.progress import Progress


class Call(NamedTuple):
  """Inputs of one call of the program.

  Attributes:
    options: the flags.
    setup: task and planner.
    out: output folder.
    console: prints results.
    interrupt: true once the program should stop.
  """

  options: flags.FlagValues
  setup: Setup
  out: Path
  console: rich.console.Console
  interrupt: Interrupt

  @property
  def steps(self) -> int:
    """Control steps of an episode."""
    return self.options.steps or self.setup.env.spec.episode_length

  def key(self, episode: int) -> Any:
    """Returns the key of an episode, counted from 1."""
    return jax.random.fold_in(jax.random.key(self.options.seed), episode)


class Outcome(NamedTuple):
  """Results of one call of the program.

  Attributes:
    episode: the last one.
    returns: of the complete episodes.
    timing: see ``results.timing``.
  """

  episode: EpisodeResult
  returns: list[float]
  timing: dict[str, Any]


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  planning_options.define(values)
  flags.adopt_module_key_flags(planning_options, values)  # so that --help lists them


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Runs the planner; returns the exit status."""
  console = cli.console()
  try:
    check(options, dotted)
    setup = build(options, dotted["env"])
  except (ValueError, ImportError, RuntimeError) as error:
    raise flag_error(error) from error
  name = re.sub(r"[^\w.-]+", "_", setup.settings["env"])
  out = outputs.check_folder(Path(options.out or f"runs/plan-{name}-{options.planner}"))
  with Interrupt() as interrupt:
    call = Call(options, setup, out, console, interrupt)
    outcome = _run_scan(call) if options.loop == "scan" else _run_steps(call)
  stopped = 130 if interrupt.signal == signal.SIGINT else 0
  if outcome.episode.moments is None:
    console.print("stopped before the first step.")
    return stopped
  _write(call, outcome)
  broken = [i + 1 for i, total in enumerate(outcome.returns) if not np.isfinite(total)]
  if broken:
    print(
      f"error: the return of episode {broken[0]} is {outcome.returns[broken[0] - 1]}: a reward "
      f"of {setup.settings['env']} is not finite; {out / 'plan.csv'} has the rewards.",
      file=sys.stderr,
    )
    return 1
  return stopped if len(outcome.returns) < options.episodes else 0


def _run_steps(call: Call) -> Outcome:
  """Runs the episodes step by step."""
  options, env = call.options, call.setup.env
  with contextlib.ExitStack() as stack:
    viewer = stack.enter_context(window.Viewer(env.model)) if options.view else None
    progress = Progress(call.steps * options.episodes or None, console=call.console)
    stack.callback(progress.close)
    functions = control.make_control(call.setup, options.traces)
    with _gradient_errors(call):
      compiled, seconds = control.compile_control(functions, call.key(1))
    call.out.mkdir(parents=True, exist_ok=True)
    progress.compiled("the planner and its task", sum(seconds.values()))
    panel = stack.enter_context(_open_panel(call, compiled)) if options.panel else None
    if panel:
      progress.note(f"panel: {panel.url}")
    session = _session(call, compiled, progress, viewer, panel)
    episode = session.run(options.episodes, call.key)
  if not session.steps:
    return Outcome(episode, [], {})
  planned, sizes = np.array(session.planned), {"steps": session.steps}
  timing = results.timing(planned, dt=env.spec.dt, busy=session.busy, **sizes)
  timing |= sizes | {"misses": session.misses, "compile_seconds": seconds}
  return Outcome(episode, session.returns, timing)


def _session(
  call: Call,
  compiled: control.Control,
  progress: Progress,
  viewer: window.Viewer | None,
  panel: Panel | None,
) -> Session:
  options, env = call.options, call.setup.env
  speed = options.speed
  return Session(
    compiled,
    dt=env.spec.dt,
    length=call.steps,
    speed=float(bool(viewer or panel)) if speed is None else speed,
    table=Table(call.out / "plan.csv"),
    progress=progress,
    total=call.steps * options.episodes or None,
    stop=lambda: call.interrupt,
    viewer=viewer,
    point=model_point(env.model, options.trace) if viewer and options.traces else None,
    panel=panel,
    settings=set(call.setup.settings["keywords"]),
  )


def _open_panel(call: Call, compiled: control.Control) -> Panel:
  """Opens a panel with the floats of the search; its factory checks new values."""
  options, settings = call.options, call.setup.settings
  known = settings["keywords"]
  _, plan_state = compiled.start(call.key(1))
  values = control.float_settings(plan_state, set(known))
  if options.tolerance is not None:
    values["tolerance"] = options.tolerance

  def check(name: str, value: float) -> None:
    if name == "tolerance":
      between(0.0, float("inf"), tolerance=value)
    if name in known:
      make_search(options.planner, known | {name: value})

  title = f"{settings['env']}, {options.planner}"
  try:
    return Panel(values, title=title, port=options.panel_port, check=check)
  except ValueError as error:
    raise flag_error(error, flags={"port": "--panel_port"}) from error


def _run_scan(call: Call) -> Outcome:
  """Runs every episode as one compiled program."""
  options, dt = call.options, call.setup.env.spec.dt
  functions = control.make_control(call.setup, options.traces)
  with _gradient_errors(call):
    rollout, seconds = control.compile_episode(functions, call.steps, call.key(1))
  call.out.mkdir(parents=True, exist_ok=True)
  call.console.print(f"compiled the episode in {seconds:.1f} s")
  table, busy = Table(call.out / "plan.csv"), 0.0
  returns: list[float] = []
  episode = EpisodeResult(None, np.zeros(0), False)
  for number in range(1, options.episodes + 1):
    if call.interrupt:
      break
    begun = time.perf_counter()
    moments = jax.device_get(rollout(call.key(number)))
    busy += time.perf_counter() - begun
    episode = EpisodeResult(control.finish(moments), np.zeros(0), True)
    _write_rows(table, number, episode.moments, dt)
    returns.append(float(np.sum(episode.moments.reward, dtype=np.float64)))
    call.console.print(f"episode {number} | return {returns[-1]:9.2f}", markup=False)
  if not returns:
    return Outcome(episode, [], {})
  steps = call.steps * len(returns)  # simulated steps, including those after a termination
  timing = results.timing(np.zeros(0), dt=dt, steps=steps, busy=busy)
  timing |= {"steps": steps, "compile_seconds": {"episode": seconds}}
  return Outcome(episode, returns, timing)


def _write_rows(table: Table, number: int, moments: control.Moment, dt: float) -> None:
  """Writes the steps of an episode that ran as one program to ``plan.csv``."""
  total = np.cumsum(moments.reward, dtype=np.float64)
  for i, so_far in enumerate(total):
    row = {"step": i + 1, "episode": number, "time": dt * (i + 1), "return": so_far}
    for name in ("reward", "value", "nonfinite", "iterations"):
      row[name] = float(getattr(moments, name)[i])
    table.write(row)


def _write(call: Call, outcome: Outcome) -> None:
  """Prints the results; writes plots, summary and video."""
  (options, setup, out, console, _), (episode, returns, timing) = call, outcome
  spec = setup.env.spec
  for line in results.lines(returns, timing, dt=spec.dt):
    console.print(line, markup=False)
  title = f"{spec.name}, {options.planner}"
  summary = {"returns": returns, **timing, "settings": setup.settings}
  seconds = episode.seconds if len(episode.seconds) else None
  written = [
    out / "plan.csv",
    results.summarise(out / "summary.json", summary),
    results.draw(out / "curves.png", episode.moments, seconds, spec.dt, title),
  ]
  if options.video if options.video is not None else not options.view:
    film = out / "video.mp4"
    try:
      written.append(results.film(film, setup.env, episode.moments, title, options.trace))
    except (OSError, RuntimeError, ValueError) as error:
      console.print(f"no video: {error}", markup=False)
  for path in written:
    console.print(f"wrote {path}", markup=False)


@contextlib.contextmanager
def _gradient_errors(call: Call) -> Iterator[None]:
  """Converts jax's error about a missing gradient of the physics to a ``UsageError``."""
  try:
    yield
  except ValueError as error:
    if "Reverse-mode differentiation" not in str(error):
      raise
    raise cli.UsageError(
      f"--planner={call.options.planner} needs gradients, but the physics of "
      f"{call.setup.settings['env']} has no reverse-mode derivative: its constraint solver "
      "iterates until convergence."
    ) from error


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", more_help, repeated="set")
