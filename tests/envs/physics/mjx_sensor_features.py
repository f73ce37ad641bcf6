"""Sensors that MJX evaluates like MuJoCo C, wrongly, or not at all."""

from mjx_templates import (
  ARM,
  BALL,
  CAPSULE,
  DRUM,
  WRAP,
  cord,
)

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
"""Sensors of the arm that MJX evaluates."""
FELT = """<asset><material name="skin"/></asset><sensor><touch site="skin"/>
  <rangefinder site="skin"/><contact geom1="g" data="found force dist pos normal"/></sensor>"""
"""Sensors of the ball that MJX evaluates."""

# Sensors that MJX evaluates wrongly or not at all: (template, feature, sensor, error text).
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

# Sensor types that MJX does not support; a model with one is rejected.
UNKNOWN = {
  "e_potential": '<e_potential name="s"/>',
  "e_kinetic": '<e_kinetic name="s"/>',
  "jointlimitpos": '<jointlimitpos name="s" joint="b"/>',
  "insidesite": '<insidesite name="s" objtype="body" objname="lower" site="tip"/>',
  "distance": '<distance name="s" body1="upper" body2="lower"/>',
  "user": '<user name="s" dim="1"/>',
  "interval": '<jointpos name="s" joint="a" interval=".02" nsample="2"/>',
}
