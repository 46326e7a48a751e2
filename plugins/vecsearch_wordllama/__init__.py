"""Embedding matrices: the one that the wordllama package carries, and the user's own."""
