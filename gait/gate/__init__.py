"""The decision: a normalised intent meets a compiled policy and becomes a signed record.  Pure."""
