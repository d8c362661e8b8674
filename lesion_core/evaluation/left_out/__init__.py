"""What was left out of a training (a class, a source), and how the model does on it."""
