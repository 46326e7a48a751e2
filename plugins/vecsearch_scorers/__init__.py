"""Scorers: MaxSim."""
