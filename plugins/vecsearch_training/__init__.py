"""Learns an embedding matrix from the user's own text: the command ``vecsearch train``, and ``train`` for programs."""
