"""One file a method: its networks, and its losses phase by phase."""
