"""How fast it is, beside other frameworks on the same machine: ``minisparse bench``.

Every framework lives in a process of its own (`worker`), starts from the same weights, must arrive
at the same numbers (`agreement`), and then all take turns in rounds (`measure`).
"""
