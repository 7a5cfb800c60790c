"""
Sessions on Twisted Web.
"""
