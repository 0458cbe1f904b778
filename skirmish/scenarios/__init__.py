"""Battles whose teams and places are drawn anew for every episode, as in SMACv2."""
