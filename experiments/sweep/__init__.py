"""The parts of ``experiments.sweep``."""
