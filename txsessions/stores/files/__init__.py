"""
A directory with one file for each session.

Everything in here may block and is called in a thread of
L{txsessions.stores.json.JSONStore}; nothing in here knows of Deferreds.
"""
