"""Stores: where documents, passages, tokens and vectors live, behind the one protocol of ``stores.protocol``."""
