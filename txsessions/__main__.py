"""
C{python -m txsessions}: what people do with stores from outside of an application.
"""

from .cli.main import main

main()
