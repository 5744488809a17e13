"""Who calls, and how things are named."""
