cache()

from zope.interface import Interface, Attribute, implementer
from twisted.python.components import registerAdapter
from txsessions import Session
from twisted.web.resource import Resource

class ICounter(Interface):
    value = Attribute("An int value which counts up once per page view.")

@implementer(ICounter)
class Counter(object):
    def __init__(self, session):
        self.value = 0

registerAdapter(Counter, Session, ICounter)

class CounterResource(Resource):
    def render_GET(self, request):
        session = request.getSession()
        counter = ICounter(session)
        counter.value += 1
        return b"Visit #%d for you!" % (counter.value,)

resource = CounterResource()
