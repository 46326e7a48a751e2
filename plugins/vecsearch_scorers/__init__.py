"""Scorers: MaxSim, MaxSim less what chance gives, and soft term frequencies."""
