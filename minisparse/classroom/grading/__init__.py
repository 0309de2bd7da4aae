"""Grading: one submission (`grading`), a class (`cohort`), a student's own check (`checking`)."""

from .grading import Grade, Grader

__all__ = ["Grade", "Grader"]
