"""Wire protocols of robots, the host's side."""
