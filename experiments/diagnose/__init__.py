"""Shows model error, calibration and critic bias of a run."""
