"""
The one place where the version stands.
"""

__version__ = "26.11.0"
