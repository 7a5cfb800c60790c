"""
Sphinx builds the documentation: C{sphinx-build -W docs docs/_build}.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from externals import writeInventory

from txsessions import __version__

project = "txsessions"
copyright = "2026, txsessions contributors"
version = release = __version__

extensions = ["sphinx.ext.intersphinx", "pydoctor.sphinx_ext.build_apidocs"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Sessions for Twisted Web that outlive the process"}

_root = Path(__file__).parent.parent
_temporary = tempfile.TemporaryDirectory()
_inventory = Path(_temporary.name) / "objects.inv"
writeInventory(_inventory)

pydoctor_args = [
    "--project-name=txsessions",
    f"--project-version={version}",
    "--docformat=epytext",
    "--html-output={outdir}/api",
    f"--project-base-dir={_root}",
    f"--intersphinx-file={_inventory}",
    str(_root / "txsessions"),
]
pydoctor_url_path = "/en/{rtd_version}/api/"
