"""Pruning: masks, the axes they are made along, and one file per method."""
