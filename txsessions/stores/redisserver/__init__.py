"""
One Redis or Valkey with sessions: the names of its keys, the scripts that work
on them, and what the replies mean.
"""
