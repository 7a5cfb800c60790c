"""
A chaos run: a site of several processes over one store, clients who note what they
were told, faults every few seconds, and a judge of the history::

    python -m txsessions.testing.chaos --store redis --minutes 10

Nothing else imports this.
"""
