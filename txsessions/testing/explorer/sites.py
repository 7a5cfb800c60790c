"""
A scenario whose processes are sites.
"""

from __future__ import annotations

from typing import Any

from ..browser import Browser
from .scenario import Scenario


class SiteScenario(Scenario):
    """
    A scenario in which each process has a site, and the actors are browsers.  It
    is for data that answer at once: in memory, in files::

        class TwoTabs(SiteScenario):
            def makeSite(self, process, store):
                return Site(root, sessionStore=store, reactor=self.clock)

            async def begin(self):
                self.visitor = self.browser("tab A")
                await self.visitor.get("/")

            @actor()
            async def tabA(self, store):
                return await self.browser("tab A", self.visitor).get("/a")

            @actor()
            async def tabB(self, store):
                return await self.browser("tab B", self.visitor).get("/b")
    """

    def prepare(self, *arguments: Any) -> None:
        """
        See L{Scenario.prepare}.
        """
        super().prepare(*arguments)
        self._sites: dict[str, Any] = {}
        self._browsers: list[Browser] = []

    def ready(self, process: str) -> None:
        """
        See L{Scenario.ready}.  The site sweeps when it is started, which is over
        before the actors begin.
        """
        self.browser(process)

    def makeSite(self, process: str, store: Any) -> Any:
        """
        The site of a process.

        @param store: Its store, whose steps wait.
        @return: A L{txsessions.Site} that uses C{store}, and the clock of the
            scenario for its reactor.
        """
        raise NotImplementedError(f"{type(self).__name__} must define makeSite(process, store)")

    def site(self, process: str) -> Any:
        """
        The site of a process.
        """
        if process not in self._sites:
            site = self.makeSite(process, self.store(process))
            site._entropy = self.random(process).randbytes
            self._sites[process] = site
        return self._sites[process]

    def browser(self, process: str, like: Browser | None = None) -> Browser:
        """
        A browser of the site of a process.

        @param like: Another browser, whose cookies it has too; from then on each
            has its own, so that what one process answers does not depend on when
            another one does.
        """
        cookies = None if like is None else like.cookies.copy()
        browser = Browser(self.site(process), self.clock, cookies=cookies)
        self._browsers.append(browser)
        return browser

    async def close(self) -> None:
        """
        See L{Scenario.close}.
        """
        for browser in self._browsers:
            browser.close()
