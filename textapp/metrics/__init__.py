"""Figures of quality, speed and size."""
