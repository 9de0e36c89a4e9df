"""Parsers of boundary files: bytes in, raw features and named faults out. They run in a limited subprocess."""
