"""What a network is shown while it is trained, and how each image counts."""
