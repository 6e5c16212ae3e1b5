"""Records in, answers out, over anything that has `run(signature, features) -> outputs`."""
