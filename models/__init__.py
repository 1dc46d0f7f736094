"""Learned schemes: the networks, their training and their released weights."""
