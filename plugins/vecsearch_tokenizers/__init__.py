"""Tokenizers: words, characters, subwords."""
