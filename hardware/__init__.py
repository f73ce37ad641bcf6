"""The host side of the bridge to robots: buses, emulated devices."""
