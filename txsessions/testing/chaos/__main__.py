"""
C{python -m txsessions.testing.chaos}.
"""

from .command import main

if __name__ == "__main__":
    main()
