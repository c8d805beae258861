"""Tool calls of the Model Context Protocol and of the frameworks: judged, signed, answered."""
