"""The portal's handlers: the front page, its style sheet and its icon.

The page may load pictures and the style sheet from this host, and nothing else from anywhere: no script, no
frame, no font (Content-Security-Policy, Level 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.survey import Survey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import AuthenticationError, Fault, NoSuchPage
from sodalake.server.handlers import Handler
from sodalake.server.portal.cards import card_of
from sodalake.server.portal.look import POLICY, TYPES, render, static_files
from sodalake.server.portal.tiles import gallery_of

if TYPE_CHECKING:
    from sodalake.server.portal.latest import Latest
    from sodalake.server.service import Service

__all__ = ["FrontPage", "StaticFile"]

_FOREVER: Final = "public, max-age=31536000, immutable"
_A_WHILE: Final = "public, max-age=3600"


class FrontPage(Handler):
    """``/``: the latest alerts, or images, of a survey (``?survey=NAME``; else the default one)."""

    latest: Latest

    def initialize(self, service: Service, latest: Latest) -> None:  # type: ignore[override]
        """Take the source of the latest alerts, too."""
        super().initialize(service)
        self.latest = latest

    async def get(self) -> None:
        """Show the page."""
        survey = self._survey()
        base, authority = self.base_url(), self.service.settings.authority
        lake = self.service.lake
        self.set_header("Cache-Control", "no-cache")
        surveys = (*lake.surveys.values(), *lake.image_surveys.values())
        if isinstance(survey, ImageSurvey):
            gallery = await gallery_of(self.service.tap, survey, base, authority)
            self._show("tiles.html", survey=survey, surveys=surveys, gallery=gallery)
            return
        alerts = [] if survey is None else await self.latest.of(survey.name)
        cards = [] if survey is None else [card_of(alert, survey, base, authority) for alert in alerts]
        self._show("front.html", survey=survey, surveys=surveys, cards=cards)

    head = get

    def _survey(self) -> Survey | ImageSurvey | None:
        lake = self.service.lake
        name = Parameters.of(self.request).one("survey")
        if name is None:
            return self.service.default_survey or next(iter(lake.image_surveys.values()), None)
        survey = lake.surveys.get(name) or lake.image_surveys.get(name)
        if survey is None:
            known = ", ".join((*lake.surveys, *lake.image_surveys)) or "none yet"
            raise NoSuchPage(f"There is no survey {clip(name)!r} here.", f"Surveys: {known}.")
        return survey

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """Show what went wrong as a page."""
        info = kwargs.get("exc_info")
        error = info[1] if isinstance(info, tuple) else None
        fault = self.fault_of(error, status_code)
        self.set_status(fault.status)
        if fault.status == 401:
            self.challenge(error if isinstance(error, AuthenticationError) else None)
        self.set_header("Cache-Control", "no-store")
        if fault.retry_after is not None:
            self.set_header("Retry-After", str(fault.retry_after))
        if fault.status == 405:
            self.set_header("Allow", ", ".join(self.methods))
        self._show("fault.html", fault=fault)

    def _show(self, template: str, fault: Fault | None = None, **values: object) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish(render(template, self.base_url(), lake=self.service.lake.url, fault=fault, **values))


class StaticFile(Handler):
    """The style sheet and the icon. An address with the right version is good for ever."""

    def initialize(self, service: Service, name: str = "") -> None:
        """Take the name of a file that has an address of its own."""
        super().initialize(service)
        self._own = name

    def get(self, name: str = "") -> None:
        """Send the file; Tornado adds an ETag and answers 304."""
        name = self._own or name
        if name not in static_files():
            raise NoSuchPage(f"There is no file {clip(name)!r} here.", f"Begin at {self.base_url()}/.")
        content, version = static_files()[name]
        self.set_header("Content-Type", TYPES[name.rpartition(".")[2]])
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header(
            "Cache-Control", _FOREVER if self.get_query_argument("v", "") == version else _A_WHILE
        )
        self.finish(content)

    head = get
