"""Trackers of experiments that a training also reports to, if it is asked to."""
