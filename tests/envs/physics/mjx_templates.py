"""Templates of small models with a single feature of MuJoCo, to compare MJX with MuJoCo C."""

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
  """Returns a template filled with parts; later ones add attributes and replace elements."""
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
