"""What is known of a method beside its mathematics: who published it, when, and where it stands here.

Each file of a method holds an ``ABOUT``, a tuple of `About`, one for each method in it.
`minisparse methods` is made of these.
"""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = (
    "magnitude",
    "sensitivity",
    "second order",
    "regularizer",
    "constraint",
    "stochastic",
    "bayesian",
    "at initialization",
    "dynamic",
    "learned threshold",
    "structured",
)


STATUSES = ("read", "quoted", "recalled")


@dataclass(frozen=True)
class Figure:
    """A published result of a method on MNIST.

    Parameters
    ----------
    network : str
        "LeNet-300-100", "LeNet-5", or the widths of another one.
    error_percent : float
        Test error.
    left : float or str
        Percent of the weights that are kept, or the widths that are left ("219-214-100").
    status : str
        "read" in the paper or its authors' code, "quoted" by another paper, or "recalled": by
        memory, and not checked.
    source : str
        Paper, table, and which row.
    quoted_by : str
        Who quotes it, if it is quoted.
    """

    network: str
    error_percent: float
    left: float | str
    status: str
    source: str
    quoted_by: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES or (self.status == "quoted") != bool(self.quoted_by):
            raise ValueError(f"the status is one of {STATUSES}, with who quotes it: {self}")


@dataclass(frozen=True)
class About:
    """One method of the field.

    Parameters
    ----------
    id : str
        Its name on the command line: lower case, words joined by ``-``.
    name : str
        Its name in the literature.
    family : str
        One of `FAMILIES`.
    year : int
        Of the first publication.
    paper : str
        Authors and venue, with the arXiv number if there is one.
    formula : str
        Name of the function that computes the method's equation, as the file of its ``ABOUT`` knows
        it.
    code : str
        Name of the class (or function) in the same file that runs the method.
    removes, when : str
        Two of the four questions: what is removed together; when, and how often.  The others are
        the formula's and the method's.
    chapter : str
        The number of the chapter that teaches it, as in its file's name; empty if none does.
    published : tuple of Figure
        What is published of it for the LeNets.
    """

    id: str
    name: str
    family: str
    year: int
    paper: str
    formula: str
    code: str
    removes: str
    when: str
    chapter: str = ""
    published: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"the family is one of {FAMILIES}, got {self.family!r}")


__all__ = ["FAMILIES", "STATUSES", "About", "Figure"]
