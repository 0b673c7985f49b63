"""A run's folder: its record, checkpoints, classifiers and what else is kept there, written whole or not at all."""
