"""
A small Redis and Valkey client on Twisted: pipelined connections, Sentinel,
Cluster, scripts and subscriptions.  It knows nothing of sessions.

Needs C{hiredis} (the extra C{txsessions[redis]}); only the modules in here
import it.
"""
