"""Positional encoders: none, sinusoidal, learned, relative, rotary."""
