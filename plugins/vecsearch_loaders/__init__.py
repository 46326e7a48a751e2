"""Loaders: plain text, Markdown, reStructuredText, source code, HTML, JSONL, CSV, PDF."""
