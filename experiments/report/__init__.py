"""The parts of ``experiments.report``."""
