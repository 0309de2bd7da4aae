"""Takes the first derivative for the smaller one."""

LOSES = ("legal", "ends")


def between(claimed, one, other, slack):
    return (claimed >= one - slack) & (claimed <= other + slack)
