"""Other programs that Gait installs itself into, or files issues with."""
