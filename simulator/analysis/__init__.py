"""Rows in, numbers and pictures out."""
