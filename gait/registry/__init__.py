"""Packages: folders whose files a signed manifest lists by digest, and how they are pinned.  Pure."""
