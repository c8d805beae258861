"""Gait inside other programs' hooks: one event in, the host's own answer out, and the lines that make a host ask."""
