"""Documents; those that are generated are written by ``python -m docs.generate``."""
