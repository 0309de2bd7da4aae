"""Errors that are for people, told apart from bugs, whose traceback is what helps."""


def is_ours(error: BaseException) -> bool:
    """Tell whether the package made this kind of error for what went wrong."""
    return type(error).__module__.partition(".")[0] == "minisparse"


def is_for_people(error: BaseException) -> bool:
    """Tell bad input, files and settings from bugs."""
    return is_ours(error) or isinstance(error, (ValueError, OSError))


def message(error: BaseException, *more: str) -> str:
    """Return what an error says, its notes, and more lines."""
    return "\n  ".join([str(error), *getattr(error, "__notes__", []), *more])
