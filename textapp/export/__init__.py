"""A trained run becomes a bundle for a target: signatures, conversion, verification. One file a target."""
