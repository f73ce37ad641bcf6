"""Stores runs: checkpoints, metrics, rollouts, predictions and the folders that hold them."""
