"""
What authors of applications and of stores test with.

Stores that fail, hang, delay, wait and count, around any store
(L{txsessions.testing.stores}); an in-memory browser for any Site
(L{txsessions.testing.browser}).  The suite that a store's author inherits is
L{txsessions.testing.contract}; it is imported from there, because it needs
pytest.
"""

__all__: list[str] = []
