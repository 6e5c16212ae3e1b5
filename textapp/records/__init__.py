"""Files of examples become records: plain dicts with a text, perhaps a second one, and a label."""
