"""Packages on disk: read and checked folders, the cache that `gait registry install` fills, and the package a decision speaks of."""
