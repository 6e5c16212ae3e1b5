"""Finds the passages of a folder of documents that may answer a question."""
