"""Handing out: from an assignment's manifest and the library's own text to a student's folder."""
