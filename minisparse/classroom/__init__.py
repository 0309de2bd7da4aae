"""The classroom: assignments over the library's own functions; hand out, check, grade.

An assignment is a folder ``assignments/aN``: a manifest, properties that a solution must have, and
stored wrong solutions.  Nothing is marked inside the library.  `properties` is what properties are
written with, `command` the command line.  The rest stands in three rooms:

``handing_out/``   from the library's text to a student's folder
    `manifest` reads ``assignment.toml``; `sources`, `needs` and `rendering` take functions out of
    the library by the syntax tree; `starter` and `handout` make the student's folder of them;
    `material` is all of it, made once, and `listing` the list of the assignments

``walls/``         is it safe?  This is all that runs what cannot be trusted
    `remote` here, `worker` there; between them `protocol`; around the worker `sandbox`, and `probe`
    finds out what that is worth; `limits` are those of memory and time.  `calling` and `invoking`
    are the two ends of a call, `loading` imports texts

``grading/``       from submissions to points
    `submissions` are read, `recognise` looks at their text, `running` tries the properties,
    `grading` grades one, `cohort` a class, `reports` writes it down; `selftest` comes first;
    `checking` is the same for a student, without walls; `gradescope` takes it elsewhere
"""
