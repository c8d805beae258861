"""Effects without Gait: files and clocks."""
