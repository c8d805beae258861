"""OpenClaw: what its skill and plugin consist of, how they are laid down, and whether they enforce."""
