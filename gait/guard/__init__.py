"""Evidence packs: a run, its signed decisions and what a reader needs to judge them, in one archive."""
