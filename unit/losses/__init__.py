"""Losses: pure functions, each with its reduction and its source."""
