"""Recipes: everything that decides what is trained. Nothing here loads TensorFlow or Keras."""
