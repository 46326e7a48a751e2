"""Measures how well an index finds, on judged collections, sentence pairs and word tests.

``datasets`` reads what there is to measure on, ``configurations`` says what is compared, ``comparison`` runs it, and
``measures`` and ``significance`` hold the formulas. Everything goes through ``Pipeline`` and ``Index`` as any caller's
code does; nothing here looks inside them.
"""
