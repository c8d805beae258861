"""Gait inside other programs: in their hooks (one event in, the host's own answer out) and in their process, in front of functions and tools."""
