"""Tasks of MBMF, including path following."""
