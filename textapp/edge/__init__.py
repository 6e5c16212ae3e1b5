"""Runs a .tflite file with an interpreter alone: no TensorFlow, no Keras."""
