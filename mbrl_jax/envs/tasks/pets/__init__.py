"""PETS' tasks."""
