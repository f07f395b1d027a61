"""Sweeps: several configs, each with several overrides and seeds, trained run by run and compared in one table."""
