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


__all__ = ["FAMILIES", "About"]
