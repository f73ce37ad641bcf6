"""Diagnoses model error, calibration, plans and critic bias of a run."""
