"""Keys, and the envelopes that bind a document to one key and one purpose.  Pure."""
