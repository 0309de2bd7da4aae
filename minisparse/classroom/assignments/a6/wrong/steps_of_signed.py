"""Forgets the magnitude, and divides by any amount."""

import math

LOSES = ("counted", "whole")


def l1_steps_to_zero(w, amount):
    return math.ceil(w / amount)
