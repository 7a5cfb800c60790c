from twisted.web.resource import Resource

class Visits(Resource):
    def render_GET(self, request):
        data = request.getSession().data
        data["visits"] = data.get("visits", 0) + 1  # saved before the response leaves
        return b"Visit #%d for you!" % data["visits"]
resource = Visits()
