"""Small models in which one feature of MuJoCo matters, for comparing MJX with MuJoCo C.

Each feature is a template, what its model has in any case, and what the feature adds.
"""

ARM = """
<mujoco model="arm"><option timestep="0.005" {option}><flag {flag}/></option>
  <worldbody>{world}<site name="hook" pos=".3 .1 .2"/><site name="side" pos="{side} .05 .1"/>
    <body name="upper"><joint name="a" {kind} {joint}/>
      <geom name="rod" type="capsule" fromto="0 0 0 0 .05 -.4" size=".04" mass="1"
        contype="0" conaffinity="0" {geom}/><site name="knee" pos="0 .05 -.3"/>
      <body name="lower" pos="0 0 -.4" {body}><joint name="b" axis="0 1 0" {other}/>
        <geom type="capsule" fromto="0 0 0 .03 .02 -.3" size=".03" mass=".5" contype="0"
          conaffinity="0"/><site name="tip" pos="0 .02 -.3"/></body></body></worldbody>
  {rest}{tendon}{equality}<actuator>{motor}</actuator></mujoco>"""
BALL = """
<mujoco model="ball"><option timestep="0.005" {option}><flag {flag}/></option>
  <worldbody><geom name="floor" type="plane" size="5 5 .1" {floor}/>
    <body name="ball" pos="0 0 {height}">{free}<geom name="g" {shape} mass="1" {geom}/>
      <site name="skin" size=".2"/></body>
  </worldbody>{rest}</mujoco>"""
DEFAULTS = {
  "kind": 'axis="0 1 0"',
  "motor": '<motor name="m" joint="a" gear="2"/>',
  "side": "-.3",
  "height": ".09",
  "free": "<freejoint/>",
  "shape": 'size=".1"',
}


class _Slots(dict):
  def __missing__(self, name):
    return DEFAULTS.get(name, "")


def build(template, *parts):
  """Fills a template; later parts add attributes and replace elements."""
  slots = _Slots()
  for part in parts:
    for name, text in part.items():
      joined = name in slots and not text.startswith("<")
      slots[name] = f"{slots[name]} {text}" if joined else text
  return template.format_map(slots)


def motor(text):
  return {"motor": f'<{text[0]} name="m" {text[1]}/>'}


def general(attributes):
  return motor(("general", f'joint="a" gainprm="2" {attributes}'))


def fixed(attributes=""):
  joints = '<joint joint="a" coef="1"/><joint joint="b" coef=".7"/>'
  return {"tendon": f'<tendon><fixed name="t" {attributes}>{joints}</fixed></tendon>'}


def cord(attributes="", path='<site site="hook"/><site site="tip"/>'):
  return {"tendon": f'<tendon><spatial name="t" {attributes}>{path}</spatial></tendon>'}


def equality(text):
  return {"equality": f"<equality>{text}</equality>"}


def pair(attributes):
  elements = f'<pair geom1="floor" geom2="g" condim="3" {attributes}/>'
  return {"rest": f"<contact>{elements}</contact>"}


BALL_JOINT = {"kind": 'type="ball"', **motor(("motor", 'joint="a" gear="2 0 0"'))}
BALL_SERVO = {"kind": 'type="ball"'}
FAST = {"option": 'integrator="implicitfast"'}
LIMITS = {"joint": 'range="-10 10"'}
RUBBED = {"joint": 'frictionloss="1"'}
PASSIVE = {"joint": 'stiffness="9" damping="1"', "other": 'stiffness="5" damping="1"'}
FLOATING = {"body": 'gravcomp="1"'}
WATER = {"option": 'density="500"'}
ELLIPTIC = {"option": 'cone="elliptic"'}
TENDON_MOTOR = motor(("motor", 'tendon="t" gear="3"'))
MUSCLE = 'joint="a" lengthrange="-1 1" force="50"'
WRAP = '<geom name="drum" {} contype="0" conaffinity="0"/>'
DRUM, GLOBE = 'type="cylinder" size=".1 .2" zaxis="0 1 0"', 'type="sphere" size=".13"'
AROUND = '<site site="hook"/><geom geom="drum" sidesite="side"/><site site="tip"/>'
PULLEY = """<site site="hook"/><site site="knee"/><pulley divisor="2"/><site site="side"/>
  <site site="tip"/>"""
CAPSULE, BOX = 'type="capsule" size=".1 .2"', 'type="box" size=".1 .1 .1"'
CYLINDER, ELLIPSOID = 'type="cylinder" size=".1 .12"', 'type="ellipsoid" size=".1 .15 .12"'

# What MJX leaves out and does not mention: (template, common, feature, words of the error).
IGNORED = {
  "stiffness": (ARM, {}, {"joint": 'stiffness="3 2 5"'}, "polynomial stiffness of joint 'a'"),
  "damping": (ARM, {}, {"joint": 'damping=".5 1 2"'}, "polynomial damping of joint 'a'"),
  "ball stiffness": (ARM, BALL_JOINT, {"joint": 'stiffness="9 3"'}, "stiffness of joint 'a'"),
  "springyield": (ARM, {}, {"joint": 'stiffness="30" springyield=".1"'}, "springyield.*'a'"),
  "margins": (ARM, {}, {"joint": 'range="-20 20" margin=".9"'}, "range narrower.*joint 'a'"),
  "mixed solref": (ARM, LIMITS, {"joint": 'solreflimit=".02 -9"'}, "solreflimit.*joint 'a'"),
  "mixed friction": (ARM, RUBBED, {"joint": 'solreffriction=".02 -9"'}, "solreffriction.*'a'"),
  "tendon stiffness": (ARM, fixed(), fixed('stiffness="9 3"'), "stiffness of tendon 't'"),
  "tendon damping": (ARM, fixed(), fixed('damping="1 1"'), "polynomial damping of tendon 't'"),
  "tendon yield": (ARM, {}, fixed('stiffness="30" springyield=".1"'), "springyield of tendon"),
  "tendon margins": (
    ARM,
    {},
    fixed('range="-.3 .3" margin=".9"'),
    "range narrower.*tendon 't'",
  ),
  "tendon solref": (ARM, {}, fixed('range="-.1 .1" solreflimit=".02 -9"'), "solreflimit.*'t'"),
  "equality solref": (
    ARM,
    {},
    equality('<joint name="e" joint1="a" polycoef=".1" solref=".02 -9"/>'),
    "solref of mixed signs of equality 'e'",
  ),
  "group": (ARM, {}, {"option": 'actuatorgroupdisable="0"'}, "actuatorgroupdisable.*'m'"),
  "actearly": (ARM, {}, general('dyntype="integrator" actearly="true"'), "actearly.*'m'"),
  "motor damping": (ARM, {}, general('damping="2"'), "damping of actuator 'm'"),
  "motor armature": (ARM, {}, general('armature=".05"'), "armature of actuator 'm'"),
  "muscle": (ARM, FAST, motor(("muscle", MUSCLE)), "implicitfast.*actuator 'm'"),
  "clipped": (
    ARM,
    FAST,
    motor(("velocity", 'joint="a" kv="20" forcerange="-.3 .3"')),
    "implicitfast.*actuator 'm'",
  ),
  "spring": (ARM, PASSIVE, {"flag": 'spring="disable"'}, "flag spring='disable'"),
  "damper": (ARM, PASSIVE, {"flag": 'damper="disable"'}, "flag damper='disable'"),
  "neither": (ARM, PASSIVE, {"flag": 'spring="disable" damper="disable"'}, "damper='disable'"),
  "gravcomp": (ARM, FLOATING, {"flag": 'spring="disable"'}, "flag spring='disable'"),
  "drag": (ARM, WATER, {"flag": 'damper="disable"'}, "flag damper='disable'"),
  "fluidshape": (ARM, WATER, {"geom": 'fluidshape="ellipsoid"'}, "fluidshape.*geom 'rod'"),
  "surfacevel": (BALL, {}, {"floor": 'surfacevel="1 0 0 0 0 0"'}, "surfacevel.*'floor'"),
  "adhesion": (BALL, {}, {"geom": 'adhesion="20"'}, "adhesion of geom 'g'"),
  "pair adhesion": (BALL, {}, pair('name="p" adhesion="20"'), "adhesion of pair 'p'"),
  "solref": (BALL, {}, {"geom": 'priority="1" solref=".1 -5"'}, "solref.*geom 'g'"),
  "pair solref": (BALL, {}, pair('solref=".1 -5"'), "solref of mixed signs of pair 0"),
  "pair friction": (
    BALL,
    ELLIPTIC,
    pair('solreffriction=".1 -5"'),
    "solreffriction of mixed signs of pair 0",
  ),
  "noslip": (ARM, {"joint": 'frictionloss="5"'}, {"option": 'noslip_iterations="9"'}, "noslip"),
}

# What MJX itself refuses, in its own words: (template, feature, words of our error).
REFUSED = {
  "implicit": (ARM, {"option": 'integrator="implicit"'}, "integrator='implicit'"),
  "discrete": (ARM, {"option": 'integrator="discrete"'}, "integrator='discrete'"),
  "pgs": (ARM, {"option": 'solver="PGS"'}, "solver='PGS'"),
  "drag": (ARM, {"option": 'density="5" integrator="implicitfast"'}, "implicitfast.*density"),
  "override": (ARM, {"flag": 'override="enable"'}, "override='enable'"),
  "energy": (ARM, {"flag": 'energy="enable"'}, "energy='enable'"),
  "fwdinv": (ARM, {"flag": 'fwdinv="enable"'}, "fwdinv='enable'"),
  "diagexact": (ARM, {"flag": 'diagexact="enable"'}, "diagexact='enable'"),
  "speculative": (ARM, {"flag": 'speculative="enable"'}, "speculative='enable'"),
  "sleep": (BALL, {"flag": 'sleep="enable"'}, "sleep='enable'"),
  "multiccd": (
    BALL,
    {"flag": 'multiccd="disable"', "shape": CYLINDER},
    "multiccd='disable'",
  ),
  "delay": (ARM, general('delay=".02" nsample="5"'), "delay or nsample of actuator 'm'"),
  "dcmotor": (
    ARM,
    motor(("dcmotor", 'joint="a" resistance="2" motorconst="1"')),
    "dcmotor.*'m'",
  ),
  "pid": (ARM, motor(("pid", 'joint="a" kp="5" kv="1"')), "gaintype='pid' of actuator 'm'"),
  "body": (ARM, motor(("adhesion", 'body="lower" ctrlrange="0 1"')), "trntype='body'.*'m'"),
  "crank": (
    ARM,
    motor(("motor", 'slidersite="hook" cranksite="tip" cranklength=".4"')),
    "trntype='slidercrank' of actuator 'm'",
  ),
  "so3": (ARM, {**BALL_SERVO, **motor(("orientation", 'joint="a" kp="5"'))}, "'so3'.*'m'"),
  "user": (ARM, general('dyntype="user" actdim="1"'), "dyntype='user' of actuator 'm'"),
  "condim": (BALL, {**ELLIPTIC, "floor": 'condim="1"', "geom": 'condim="1"'}, "condim=1"),
}

# What MJX simulates: (template, common, feature).
ALIKE = {
  "stiffness": (ARM, {}, {"joint": 'stiffness="3" springref="20"'}),
  "damping": (ARM, {}, {"joint": 'damping=".5" armature=".1"'}),
  "frictionloss": (ARM, {}, {"joint": 'frictionloss=".3" solreffriction=".1 1"'}),
  "limit": (ARM, {}, {"joint": 'range="-10 10" solreflimit="-500 -5" margin=".05"'}),
  "refsafe": (
    ARM,
    {"joint": 'range="-10 10" solreflimit=".006 1"'},
    {"flag": 'refsafe="disable"'},
  ),
  "limit off": (ARM, LIMITS, {"flag": 'limit="disable"'}),
  "frictionloss off": (ARM, RUBBED, {"flag": 'frictionloss="disable"'}),
  "constraint off": (ARM, RUBBED, {"flag": 'constraint="disable"'}),
  "gravity off": (ARM, {}, {"flag": 'gravity="disable"'}),
  "actuation off": (ARM, {}, {"flag": 'actuation="disable"'}),
  "eulerdamp off": (ARM, {"joint": 'damping="3"'}, {"flag": 'eulerdamp="disable"'}),
  "clampctrl off": (
    ARM,
    motor(("motor", 'joint="a" gear="9" ctrlrange="-.1 .1"')),
    {"flag": 'clampctrl="disable"'},
  ),
  "actuatorfrcrange": (ARM, {}, {"joint": 'actuatorfrcrange="-.3 .3"'}),
  "gravcomp": (ARM, {}, FLOATING),
  "actuatorgravcomp": (ARM, {}, {**FLOATING, "joint": 'actuatorgravcomp="true"'}),
  "rk4": (ARM, {}, {"option": 'integrator="RK4"'}),
  "implicitfast": (ARM, {"joint": 'damping="3"', "flag": 'eulerdamp="disable"'}, FAST),
  "density": (ARM, {}, {"option": 'density="500" wind="3 1 1"'}),
  "viscosity": (ARM, {}, {"option": 'viscosity="5"'}),
  "ctrlrange": (ARM, {}, motor(("motor", 'joint="a" gear="9" ctrlrange="-.2 .2"'))),
  "forcerange": (ARM, {}, motor(("motor", 'joint="a" gear="9" forcerange="-.2 .2"'))),
  "position": (ARM, {}, motor(("position", 'joint="a" kp="5" dampratio="1"'))),
  "intvelocity": (ARM, {}, motor(("intvelocity", 'joint="a" kp="9" actrange="-1 1"'))),
  "damper": (ARM, {}, motor(("damper", 'joint="a" kv="2" ctrlrange="0 1"'))),
  "filter": (ARM, {}, general('dyntype="filter" dynprm=".1"')),
  "filterexact": (ARM, {}, general('dyntype="filterexact" dynprm=".1"')),
  "actrange": (ARM, {}, general('dyntype="integrator" actlimited="true" actrange="-.1 .1"')),
  "affine": (ARM, FAST, motor(("general", 'joint="a" gaintype="affine" gainprm="2 .5 -.9"'))),
  "muscle": (ARM, {}, motor(("muscle", f'{MUSCLE} tausmooth=".3"'))),
  "cylinder": (ARM, {}, motor(("cylinder", 'joint="a" area="4" timeconst=".1"'))),
  "site": (ARM, {}, motor(("motor", 'site="tip" gear="1 0 0 0 1 0"'))),
  "refsite": (ARM, {}, motor(("position", 'site="tip" refsite="hook" gear="1 0 0 0 0 0"'))),
  "ball stiffness": (ARM, BALL_JOINT, {"joint": 'stiffness="9" damping="1"'}),
  "ball limit": (ARM, BALL_JOINT, {"joint": 'range="0 40"'}),
  "fixed stiffness": (ARM, {}, fixed('stiffness="9" damping="1" springlength="0 .1"')),
  "fixed limit": (ARM, {}, fixed('range="-.1 .2" frictionloss=".5"')),
  "fixed armature": (ARM, {}, fixed('armature=".1"')),
  "fixed force": (ARM, fixed() | TENDON_MOTOR, fixed('actuatorfrcrange="-.5 .5"')),
  "spatial stiffness": (ARM, {}, cord('stiffness="9" damping="1"')),
  "spatial limit": (ARM, {}, cord('range="0 .3"')),
  "wrap": (
    ARM,
    cord('stiffness="9"'),
    {"world": WRAP.format(DRUM), **cord('stiffness="9"', AROUND)},
  ),
  "inside": (
    ARM,
    cord('stiffness="9"'),
    {"world": WRAP.format(GLOBE), "side": ".02", **cord('stiffness="9"', AROUND)},
  ),
  "pulley": (ARM, cord('stiffness="9"'), cord('stiffness="9"', PULLEY)),
  "joint equality": (ARM, {}, equality('<joint joint1="a" joint2="b" polycoef=".1 2 .3"/>')),
  "tendon equality": (ARM, {}, fixed() | equality('<tendon tendon1="t" polycoef=".1"/>')),
  "equality off": (
    ARM,
    equality('<joint joint1="a" polycoef=".1"/>'),
    {"flag": 'equality="disable"'},
  ),
  "condim 1": (BALL, {}, {"floor": 'condim="1"', "geom": 'condim="1"'}),
  "condim 6": (BALL, {"geom": 'friction="1 .1 .1"'}, {"floor": 'condim="6"'}),
  "elliptic": (BALL, {}, {"option": 'cone="elliptic" impratio="5"'}),
  "solref": (BALL, {}, {"geom": 'solref="-500 -10"', "floor": 'solref="-300 -20"'}),
  "solimp": (BALL, {}, {"geom": 'solimp=".5 .8 .02 .3 3" solmix="3"'}),
  "priority": (BALL, {}, {"geom": 'priority="1" friction=".1 .01 .01" solref=".05 1"'}),
  "margin": (BALL, {}, {"geom": 'margin=".02" gap=".05"'}),
  "friction": (BALL, {}, {"geom": 'friction=".2 .1 .1"', "floor": 'friction=".1 .1 .1"'}),
  "contact off": (BALL, {}, {"flag": 'contact="disable"'}),
  "contype": (BALL, {}, {"geom": 'contype="2" conaffinity="4"'}),
  "pair": (BALL, {}, pair('friction=".1 .2 .1 .1 .1" margin=".02"')),
  "free joint": (
    BALL,
    {},
    {"free": '<joint type="free" damping="2" stiffness="30" armature=".3"/>'},
  ),
  "capsule": (BALL, {}, {"shape": CAPSULE}),
}

FRAMES = "".join(
  f'<{kind} objtype="{sort}" objname="{name}" {reference}/>'
  for kind in ("framepos", "framequat", "framexaxis", "framelinvel", "frameangvel")
  for sort, name in (("body", "lower"), ("xbody", "lower"), ("geom", "rod"), ("site", "tip"))
  for reference in ("", 'reftype="body" refname="upper"')
)
ON_SITE = "".join(
  f'<{kind} site="tip"/>'
  for kind in ("accelerometer", "velocimeter", "gyro", "force", "torque", "magnetometer")
)
SENSED = f"""{FRAMES}{ON_SITE}<jointpos joint="a"/><jointvel joint="b" cutoff=".1"/>
  <jointactuatorfrc joint="a"/><actuatorpos actuator="m"/><actuatorvel actuator="m"/>
  <actuatorfrc actuator="m"/><tendonpos tendon="t"/><tendonvel tendon="t"/>
  <subtreecom body="upper"/><subtreelinvel body="upper"/><subtreeangmom body="upper"/>
  <framelinacc objtype="body" objname="lower"/><frameangacc objtype="body" objname="lower"/>
  <clock/>"""
"""Sensors of the arm that MJX computes."""
FELT = """<asset><material name="skin"/></asset><sensor><touch site="skin"/>
  <rangefinder site="skin"/><contact geom1="g" data="found force dist pos normal"/></sensor>"""
"""Sensors of the ball that MJX computes."""

# What MJX reads wrongly or not at all: (template, feature, sensor, words of the error).
UNREAD = {
  "cutoff": (
    ARM,
    {},
    '<framelinacc name="s" objtype="body" objname="lower" cutoff=".1"/>',
    "cutoff for sensor 's'",
  ),
  "touch": (ARM, {}, '<touch name="s" site="tip"/>', "nothing can collide for sensor 's'"),
  "can": (
    BALL,
    {"free": '<freejoint/><site name="can" type="cylinder" size=".2 .2"/>'},
    '<touch name="s" site="can"/>',
    "a site of type='cylinder' for sensor 's'",
  ),
  "force": (ARM, cord(), '<force name="s" site="tip"/>', "spatial tendons on bodies.*'s'"),
  "ray": (ARM, {}, '<rangefinder name="s" site="tip"/>', "has no material for sensor 's'"),
  "direction": (ARM, {}, '<rangefinder name="s" site="tip" data="dist dir"/>', "data.*'s'"),
  "cylinder": (
    ARM,
    {"world": WRAP.format(DRUM)},
    '<rangefinder name="s" site="tip"/>',
    "rays that meet cylinders.*'s'",
  ),
  "reduce": (
    BALL,
    {"shape": CAPSULE},
    '<contact name="s" geom1="g" data="found dist"/>',
    "reduce='none'.*'s'",
  ),
  "gap": (BALL, {"geom": 'gap=".1"'}, '<contact name="s" geom1="g"/>', "within a gap.*'s'"),
}

# Kinds that MJX does not know; no model with one is accepted.
UNKNOWN = {
  "e_potential": '<e_potential name="s"/>',
  "e_kinetic": '<e_kinetic name="s"/>',
  "jointlimitpos": '<jointlimitpos name="s" joint="b"/>',
  "insidesite": '<insidesite name="s" objtype="body" objname="lower" site="tip"/>',
  "distance": '<distance name="s" body1="upper" body2="lower"/>',
  "user": '<user name="s" dim="1"/>',
  "interval": '<jointpos name="s" joint="a" interval=".02" nsample="2"/>',
}
