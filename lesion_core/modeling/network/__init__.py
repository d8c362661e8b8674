"""From a recipe to a Keras network, its stored form and its ONNX file."""
