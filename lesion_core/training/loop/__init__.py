"""Epochs and steps: the loop of a training, its state and its checkpoints."""
