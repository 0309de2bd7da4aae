r"""Formulas for GitHub: chapters write ``$...$`` and ``$$`` blocks, pages what GitHub reads.

GitHub hands Markdown to a CommonMark parser before anything looks for mathematics.  That parser
takes ``_`` and ``*`` for emphasis and drops the backslash of ``\{``, ``\,`` and ``\\``.  Two forms
are spared: displayed formulas in a fence, and inline ones between dollar and backtick:

    $$                 ```math
    y = x W     ->     y = x W            $x_i$  ->  $`x_i`$            $x$  ->  $x$
    $$                 ```

Whatever would not be shown in either form is refused.
"""

from __future__ import annotations

import re

# Refused by GitHub, or not known to its MathJax.
_MACROS = re.compile(
    r"\\(operatorname|newcommand|renewcommand|def|let|require|href|unicode|class|style|cssId|"
    r"mbox|color|textcolor|label|ref|eqref|tag|phantom|DeclareMathOperator)\b"
)
_INLINE = re.compile(r"(?<![\\$])\$(?!\$)([^$]+?)\$(?!\$)")
_PLAIN = re.compile(r"[A-Za-z0-9 +=/.,:()'^-]+")  # nothing that CommonMark knows about
_BEFORE = re.compile(r"(^|[\s(\[\"'*>])$")
_AFTER = re.compile(r"^($|[\s.,;:!?)\]\"'*])")
_CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")


class MathError(ValueError):
    """A formula that GitHub would not show."""


def for_github(text: str) -> str:
    """Rewrite the mathematics of a Markdown cell.

    Raises
    ------
    MathError
        A formula cannot be shown; the message says why and what to write.

    Examples
    --------
    >>> print(for_github("Here $x$ and $w_{ij}$."))
    Here $x$ and $`w_{ij}`$.
    """
    lines, fence, block = [], "", False
    for number, line in enumerate(text.splitlines(), start=1):
        marker = re.match(r" *(```+|~~~+)", line)
        if fence:
            lines.append(line)
            fence = "" if marker and line.strip() == fence else fence
        elif marker and not block:
            if line.strip().startswith("```math"):
                raise MathError(f"line {number}: write displayed formulas between lines of $$")
            lines.append(line)
            fence = marker[1]
        elif line.strip() == "$$":
            if line != "$$":
                raise MathError(f"line {number}: a displayed formula inside a list is not shown")
            lines.append("```" if block else "```math")
            block = not block
        elif "$$" in line:
            raise MathError(f"line {number}: write $$ on lines of their own: {line.strip()}")
        elif block:
            _refuse_macros(line, number)
            if not line.strip():
                raise MathError(f"line {number}: an empty line in a formula ends it in Jupyter")
            lines.append(line)
        else:
            lines.append(_inline(line, number))
    if block:
        raise MathError("a formula begins with $$ and does not end")
    return "\n".join(lines)


def _refuse_macros(formula: str, number: int) -> None:
    if found := _MACROS.search(formula):
        raise MathError(
            f"line {number}: GitHub does not show {found[0]}; write \\mathrm, or say it in words"
        )


def _inline(line: str, number: int) -> str:
    codes: list[str] = []

    def hide(match: re.Match[str]) -> str:
        codes.append(match[0])
        return f"\0{len(codes) - 1}\0"

    hidden = _CODE_SPAN.sub(hide, line)
    if "$\0" in hidden or "\0$" in hidden:
        raise MathError(f"line {number}: write $...$ alone; the page gets its backticks: {line}")

    def rewrite(match: re.Match[str]) -> str:
        formula = match[1]
        _refuse_macros(formula, number)
        if formula != formula.strip():
            raise MathError(f"line {number}: no spaces inside the dollars: {match[0]}")
        if "\0" in formula or "`" in formula:
            raise MathError(f"line {number}: no backtick in a formula: {match[0]}")
        if line.lstrip().startswith("|") and "|" in formula:
            raise MathError(f"line {number}: in a table write \\lvert for |: {match[0]}")
        if not _BEFORE.search(hidden[: match.start()]) or not _AFTER.match(hidden[match.end() :]):
            raise MathError(
                f"line {number}: GitHub wants a space or punctuation around a formula, not a "
                f"letter, digit or hyphen: {hidden[max(match.start() - 8, 0) : match.end() + 8]}"
            )
        return match[0] if _PLAIN.fullmatch(formula) else f"$`{formula}`$"

    rewritten = _INLINE.sub(rewrite, hidden)
    rest = _INLINE.sub("", hidden)
    if re.search(r"(?<!\\)\$", rest):
        raise MathError(f"line {number}: a formula does not end on its line: {line.strip()}")
    return re.sub(r"\0(\d+)\0", lambda m: codes[int(m[1])], rewritten)
