"""Objectives, one file for each task: model forms, batches, loss, validation, signatures and the check of exports."""
