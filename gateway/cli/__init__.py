"""The commands: each is thin, over functions that can be called without it.

`main` has the table of them and turns every failure into one line. A command's module is imported
only when that command is asked for, so that `gateway check` loads no server and no database.
"""
