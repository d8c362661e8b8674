"""What a model has seen, through all that it was made from."""
