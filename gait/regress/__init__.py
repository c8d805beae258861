"""Regression tests made of recorded runs: fixtures, graders, and what they found."""
