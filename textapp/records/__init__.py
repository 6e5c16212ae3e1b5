"""Reads files of examples as records: dicts such as `{"text": ..., "label": ...}`."""
