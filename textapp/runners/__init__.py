"""Runners of a model: Keras, SavedModel and .tflite files, all with `run(signature, features) -> outputs`."""
