"""
Sessions for Twisted Web that outlive the process.
"""

from ._version import __version__

__all__ = ["__version__"]
