"""The composition root: turns settings into running parts. Nothing else names concrete adapters.

What is heavy to load is imported by what needs it: a command that only reads rows is not to wait for the rest.
"""
