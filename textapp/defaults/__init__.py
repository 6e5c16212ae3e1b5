"""What a config leaves open, filled in: one file of recipes a task. Defaults are a part of the product."""

from textapp.defaults.lengths import MOST_IN_BUCKET, choose_lengths
from textapp.defaults.resolving import resolve

__all__ = ["MOST_IN_BUCKET", "choose_lengths", "resolve"]
