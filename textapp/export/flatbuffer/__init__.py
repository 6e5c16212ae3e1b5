"""Passes over a .tflite file, from bytes to bytes, and the inspection of its graphs."""
