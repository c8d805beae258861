"""Beads (`bd`): refused decisions as issues of its tracker."""
