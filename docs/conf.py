"""
Sphinx builds the documentation: C{sphinx-build -W docs docs/_build}.
"""

from pathlib import Path

from txsessions import __version__

project = "txsessions"
copyright = "2026, txsessions contributors"
version = release = __version__

extensions = ["pydoctor.sphinx_ext.build_apidocs"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Sessions for Twisted Web that outlive the process"}

_root = Path(__file__).parent.parent
pydoctor_args = [
    "--project-name=txsessions",
    f"--project-version={version}",
    "--docformat=epytext",
    "--html-output={outdir}/api",
    f"--project-base-dir={_root}",
    "--intersphinx=https://docs.twisted.org/en/stable/api/objects.inv",
    str(_root / "txsessions"),
]
pydoctor_url_path = "/en/{rtd_version}/api/"
