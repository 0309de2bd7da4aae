"""The classroom: assignments over the library's own functions; hand out, check, grade.

An assignment is a folder ``assignments/aN``: a manifest, properties that a solution must have, and
stored wrong solutions.  Nothing is marked inside the library.

==================================  ================================================================
hand out                            `manifest` reads ``assignment.toml``; `sources`, `closure` and
                                    `rendering` take functions out of the library by the syntax tree;
                                    `starter` and `handout` make the student's folder of them
judge                               `properties` and `judging`: what properties are written with;
                                    `running` tries them on `calling.Functions`
run what cannot be trusted          `proxy` here, `worker` there; between them `protocol`; around the
                                    worker `sandbox`, and `probe` finds out what that is worth;
                                    `patience` limits the time of calls
grade                               `submissions` are read, `recognise` looks at their text,
                                    `grading` grades one, `cohort` a class, `reports` writes it down;
                                    `selftest` comes first; `gradescope` takes it elsewhere
check                               `checking`: the same for a student, without walls
==================================  ================================================================
"""
