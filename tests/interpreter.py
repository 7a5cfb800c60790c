"""
What the Python that runs the tests does not do as others do.
"""

from __future__ import annotations

import gc
import sys

import pytest

needsNoDict = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10 gives each instance a dict of its attributes"
)
"""
For tests of where Python keeps attributes.
"""

needsPlainDicts = pytest.mark.skipif(
    gc.is_tracked({"name": 1.0}), reason="the collector of this Python looks at every dict"
)
"""
For tests of what the collector of garbage leaves alone: as of Python 3.14 no dict.
"""
