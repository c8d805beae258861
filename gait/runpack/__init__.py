"""Runpacks (`gait.runpack.*` 1.0.0): the evidence of one run in a byte-stable ZIP archive."""
