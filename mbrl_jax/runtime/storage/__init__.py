"""Run folders: checkpoints, metrics, rollouts."""
