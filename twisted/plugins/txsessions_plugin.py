"""
C{twistd txsessions} and C{twist txsessions}.
"""

from twisted.application.service import ServiceMaker

txsessions = ServiceMaker(
    "txsessions",
    "txsessions.tap",
    "A web server whose sessions outlive the process.",
    "txsessions",
)
