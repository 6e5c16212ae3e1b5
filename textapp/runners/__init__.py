"""What runs a model: Keras, a SavedModel or a .tflite file, all behind `run(signature, features) -> outputs`."""
