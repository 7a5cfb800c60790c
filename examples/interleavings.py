"""
A coupon that can be redeemed twice, and how that is found out.
"""

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txsessions import Site
from txsessions.testing import resultOf
from txsessions.testing.explorer import (
    InterleavingFailed,
    SiteScenario,
    actor,
    atTheEnd,
    explore,
)
from txsessions.testing.shared import SharedMemory


class Coupon(Resource):
    """
    Looks, and then writes: two requests at the same time both find it unused.
    """

    isLeaf = True

    def render_GET(self, request):
        request.getSession()
        return b"welcome"

    def render_POST(self, request):
        data = request.getSession().data
        if data.get("isRedeemed"):
            return b"too late"
        data["isRedeemed"] = True
        return b"10 % off"


class SafeCoupon(Coupon):
    """
    Looks and writes in one step.
    """

    def render_POST(self, request):
        def redeem(data):
            isFirst = not data.get("isRedeemed")
            data["isRedeemed"] = True
            return isFirst

        def answer(isFirst):
            request.write(b"10 % off" if isFirst else b"too late")
            request.finish()

        request.getSession().modify(redeem).addCallback(answer)
        return NOT_DONE_YET


class TwoTabs(SiteScenario):
    """
    A visitor redeems the coupon in two tabs, which different workers serve.
    """

    root = Coupon

    def makeSite(self, process, store):
        return Site(self.root(), sessionStore=store, reactor=self.clock)

    async def begin(self):
        self.visitor = self.browser("the first visit")
        await self.visitor.get("/")

    @actor()
    async def tabA(self, store):
        return (await self.browser("tab A", self.visitor).post("/")).body

    @actor()
    async def tabB(self, store):
        return (await self.browser("tab B", self.visitor).post("/")).body

    @atTheEnd
    def onlyOnce(self):
        answers = sorted(self.outcomes.values())
        assert answers == [b"10 % off", b"too late"], f"the tabs were told {answers}"


class SafeTwoTabs(TwoTabs):
    """
    The same with the other page.
    """

    root = SafeCoupon


if __name__ == "__main__":
    try:
        resultOf(explore(TwoTabs, SharedMemory()))
    except InterleavingFailed as e:
        print(e)
    print(resultOf(explore(SafeTwoTabs, SharedMemory())))
