"""
The command line, C{python -m txsessions}.
"""
