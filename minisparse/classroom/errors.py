"""What can go wrong in the classroom, by whose doing."""


class ClassroomError(Exception):
    """The instructor, an assignment, or the system is at fault; the work cannot be done."""


class PropertyFailed(Exception):
    """A submission lacks a property.

    Parameters
    ----------
    message : str
        For the student: what was asked, what came, what to look at.
    """


class CallFailed(PropertyFailed):
    """A function of the submission raised, or gave back what is no answer.

    Parameters
    ----------
    message : str
    kind : str
        The name of the exception's type, such as ``"ValueError"``; empty if the function raised
        nothing.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class SubmissionLost(PropertyFailed):
    """The submission's process is gone: it ran out of time or memory, or ended by itself.

    Parameters
    ----------
    message : str
    late : bool
        It gave no answer in time.
    """

    def __init__(self, message: str, late: bool = False) -> None:
        super().__init__(message)
        self.late = late


class TimeUp(BaseException):
    """Work took too long.  No `Exception`: a student's ``except Exception`` must not stop it."""
