"""The list of jobs: who asks sees his own (UWS 1.1, 2.2.2.1), and a POST makes another (2.2.3.1)."""

from __future__ import annotations

from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.jobs.forms import duration_of, moment, read_form, run_id_of, whole_number
from sodalake.server.jobs.resource import XML, JobHandler
from sodalake.server.jobs.room import Order
from sodalake.uws.documents import list_document
from sodalake.uws.jobs import JobRef
from sodalake.uws.phases import Phase

__all__ = ["JobList"]

_MOST = 2**31 - 1
_OFFERED = frozenset(Phase) - {
    Phase.UNKNOWN,
    Phase.HELD,
    Phase.SUSPENDED,
}  # to people; jobs are hardly ever those


class JobList(JobHandler):
    """``/soda/async``."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")
    has_page = True

    async def get(self) -> None:
        """List the jobs that PHASE, AFTER and LAST leave, newest first."""
        parameters = Parameters.of(self.request)
        phases = phases_of(parameters)
        after = moment(parameters, "AFTER")
        last = whole_number(parameters, "LAST", 1, "It is how many of the newest jobs are listed.")
        if last is not None:
            last = min(last, _MOST)
        hidden = self.user.is_anonymous and not self.room.limits.anonymous_list
        page = self.wants_page
        if page:
            # One more than is shown tells whether there are more.
            last = min(last or self.room.limits.listed, self.room.limits.listed) + 1
        refs: list[JobRef] = []
        if not hidden:
            refs = await self.room.store.find(
                self.room.kind, self.user.name, phases=phases, after=after, last=last
            )
        if page:
            assert last is not None
            offered = [phase for phase in Phase if phase in _OFFERED or phase in phases]
            self.show(
                "joblist.html",
                refs=refs[: last - 1],
                more=len(refs) >= last,
                phases=phases,
                offered=offered,
                hidden=hidden,
            )
            return
        self.set_header("Content-Type", XML)
        self.set_header("Cache-Control", "no-store")
        for piece in list_document(refs, self.list_url):
            self.write(piece)
            if (
                len(refs) > 1000
            ):  # the loop breathes, and a reader that is slow holds one piece and not the list
                await self.flush()
        self.finish()

    head = get

    async def post(self) -> None:
        """Create a job, and queue it where PHASE=RUN comes with it; answer 303 with its address."""
        form = read_form(self.request)
        phase = form.ours.one("PHASE")
        if phase not in (None, "RUN"):
            raise BadParameter(
                f"PHASE={clip(phase or '')!r} is not what a job can be created with.",
                "Send PHASE=RUN or nothing.",
            )
        if "ACTION" in form.ours:
            raise BadParameter("ACTION is nothing the list of jobs does.", "Send it to a job.")
        job = await self.room.create(
            self.user,
            Order(
                form.parameters,
                form.parts,
                run_id_of(form.ours),
                duration_of(form.ours),
                moment(form.ours, "DESTRUCTION"),
                run=phase == "RUN",
            ),
        )
        self.see_other(self.job_url(job.id))


def phases_of(parameters: Parameters) -> frozenset[Phase]:
    """Return the phases that a list is asked for; none means all but ARCHIVED."""
    values = parameters.get("PHASE", ())
    try:
        return frozenset(Phase(value) for value in values)
    except ValueError:
        wrong = next(value for value in values if value not in tuple(Phase))
        raise BadParameter(f"PHASE={clip(wrong)!r} is no phase.", f"Phases: {', '.join(Phase)}.") from None
