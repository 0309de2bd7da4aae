"""The classroom: assignments over the library's own functions; hand out, check, grade.

An assignment is a folder ``assignments/aN`` with a manifest (`manifest`), properties that a solution
must have (`properties`) and stored wrong solutions.  Nothing is marked inside the library: starters
are made from its syntax tree (`starter`).
"""
