"""What goes wrong with data files, told apart from what goes wrong in a program."""


class DataError(ValueError):
    """A data file is damaged or is not the file it should be."""


class MissingDataError(DataError, FileNotFoundError):
    """A data file is not there and could not be downloaded."""
