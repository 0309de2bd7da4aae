"""The assignments, for people and for programs."""

from __future__ import annotations

from typing import Any

from .. import properties
from . import manifest
from .sources import definition


def entries() -> list[dict[str, Any]]:
    """Return what ``minisparse classroom list --json`` prints."""
    found = []
    for name in manifest.names():
        assignment = manifest.load(name)
        declared = properties.load(assignment)
        exercises = [
            {
                "number": e.number,
                "title": e.title,
                "functions": [_name(f) for f in e.functions],
                "points": sum(p.points for p in declared if p.exercise == e.number),
            }
            for e in assignment.exercises
        ]
        found.append(
            {
                "id": assignment.id,
                "title": assignment.title,
                "chapter": assignment.chapter,
                "minutes": assignment.minutes,
                "points": sum(p.points for p in declared),
                "exercises": exercises,
            }
        )
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return the list as text."""
    lines = []
    for a in found:
        lines.append(
            f"{a['id']:4} {a['title']}: chapter {a['chapter']}, about {a['minutes']} minutes, "
            f"{a['points']:g} points"
        )
        lines += [
            f"     {e['number']:5} {e['title']} ({e['points']:g}): {', '.join(e['functions'])}"
            for e in a["exercises"]
        ]
    return "\n".join(lines)


def _name(dotted: str) -> str:
    found, method = definition(dotted)
    return ".".join(filter(None, [found.name, method]))
