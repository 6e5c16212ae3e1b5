"""What an export has to pass: its answers on real examples against those of the Keras model."""
