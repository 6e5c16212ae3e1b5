"""Predictors: records in, answers out, over any `Runner`."""
