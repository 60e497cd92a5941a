"""What rests: one module for each thing, with its record and the statements that read and write it.

lookup and reading are the guard's way to a token, past all other work.
"""
