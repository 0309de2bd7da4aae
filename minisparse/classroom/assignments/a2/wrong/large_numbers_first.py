"""Adds up the large numbers before it subtracts."""

LOSES = ("beside_a_large_number",)


def second_difference(plus, minus, here, t):
    return (plus + minus - 2 * here) / t
