"""Jobs as the XML of UWS 1.1 (Appendix B), and its times.

The order of a job's elements is the schema's; what is not known is there with ``xsi:nil``, because clients look for
it. The schema's namespace is that of 1.0 and the attribute ``version`` says 1.1 (2.2.1.1). What UWS has no place
for, progress and a note of how the job ran, is in ``jobInfo``, in no namespace: for one that is not IVOA's validators
look for a schema and warn that there is none (STILTS 3.4.7: W-UWS-UNSC).

No stylesheet is named in the documents: UWS 2.2.2 blesses that way to show jobs in a browser, but Chromium no longer
transforms XSLT. Browsers get pages by content negotiation instead.

Addresses are made from the address of the list or of the job, which the caller knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from urllib.parse import quote

from lxml import etree

from .jobs import Job, JobRef, Parameter, Progress

__all__ = [
    "UWS_NAMESPACE",
    "BadTime",
    "href",
    "iso",
    "job_document",
    "list_document",
    "parameters_document",
    "parse_time",
    "percent",
    "results_document",
]  # fmt: skip

UWS_NAMESPACE: Final = "http://www.ivoa.net/xml/UWS/v1.0"

_XLINK: Final = "http://www.w3.org/1999/xlink"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_NAMESPACES: Final = {"uws": UWS_NAMESPACE, "xlink": _XLINK, "xsi": _XSI}
_UWS: Final = f"{{{UWS_NAMESPACE}}}"
_HREF: Final = f"{{{_XLINK}}}href"
_NIL: Final = {f"{{{_XSI}}}nil": "true"}
_DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_REFS_AT_A_TIME: Final = 250
"""Lines of a list that are made at once: 3 ms of the loop (12 µs each)."""

# What XML 1.0 (2.2) cannot carry, escaped or not.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TIME = re.compile(
    r"""(?P<year>\d{4})
    (?: (?P<dash>-)? (?P<month>\d\d) (?: (?(dash)-) (?P<day>\d\d)
        (?: T (?P<hour>\d\d) (?: (?P<colon>:)? (?P<minute>\d\d) (?: (?(colon):) (?P<second>\d\d)
            (?: [.,] (?P<fraction>\d{1,30}) )? )? )?
            (?P<zone> Z | [+-]\d\d (?: :? \d\d )? )?
        )? )? )?""",
    re.X | re.A,
)


class BadTime(ValueError):
    """The text is no time of ISO 8601."""


def iso(moment: datetime) -> str:
    """Return a time as UWS has it: UTC, with milliseconds and Z (2.2.1)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def parse_time(text: str) -> datetime:
    """Read a time of ISO 8601, in UTC where it names no zone.

    Year, month, day, hour and minute may be where it ends; the separators may be left out (from the day on); the
    zone is Z or an offset. The smallest time that is meant is returned: 2026 is its first moment.

    Raises
    ------
    BadTime
        It is none.
    """
    match = _TIME.fullmatch(text)
    # 202611 could be a month or, by an older edition, a date without century: ISO 8601 has neither.
    if match is None or (match["month"] and not match["dash"] and not match["day"]):
        raise BadTime(text)
    zone = match["zone"] or "Z"
    # One moment has one text: basic and extended form are not mixed.
    if match["minute"] and bool(match["dash"]) != bool(match["colon"]):
        raise BadTime(text)
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(
            f"{match['year']}-{match['month'] or '01'}-{match['day'] or '01'}T{match['hour'] or '00'}:"
            f"{match['minute'] or '00'}:{match['second'] or '00'}.{fraction}{zone}"
        ).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadTime(text) from error


def percent(progress: Progress) -> float | None:
    """Return how much of a job is done, 0 to 100 to a tenth; None before its work is planned."""
    total = max(progress.total, progress.done)  # a job of one unit is done before its plan is written
    return int(1000 * progress.done / total) / 10 if total else None


def href(url: str, *names: str) -> str:
    """Return the address of something below `url`."""
    return "/".join((url, *(quote(name, safe="") for name in names)))


def list_document(refs: Iterable[JobRef], url: str) -> Iterator[bytes]:
    """Write the list of jobs, in pieces of some hundred lines.

    Parameters
    ----------
    url
        Address of the list, without a slash at its end.
    """
    head, tail = etree.tostring(_element("jobs", version="1.1", text=""), encoding="UTF-8").split(b"><")
    yield _DECLARATION + head + b">"
    refs = iter(refs)
    while some := list(islice(refs, _REFS_AT_A_TIME)):
        root = _element("jobs", version="1.1")
        for ref in some:
            _ref(root, ref, url)
        # The lines without the root that declares their prefixes, which the whole document has once.
        yield etree.tostring(root, encoding="UTF-8", xml_declaration=False)[len(head) + 1 : -len(tail) - 1]
    yield b"<" + tail


def job_document(job: Job, url: str) -> bytes:
    """Write a job.

    Parameters
    ----------
    url
        Its address.
    """
    root = _element("job", version="1.1")
    _add(root, "jobId", job.id)
    if job.run_id:
        _add(root, "runId", job.run_id)
    _add_or_nil(root, "ownerId", job.owner)
    _add(root, "phase", job.phase)
    _add_or_nil(root, "quote", job.quote)
    _add(root, "creationTime", iso(job.created))
    _add_or_nil(root, "startTime", job.started)
    _add_or_nil(root, "endTime", job.ended)
    _add(root, "executionDuration", str(job.execution_duration))
    _add_or_nil(root, "destruction", job.destruction)
    _parameters(etree.SubElement(root, f"{_UWS}parameters"), job, url)
    _results(etree.SubElement(root, f"{_UWS}results"), job, url)
    if job.error is not None:
        summary = etree.SubElement(
            root,
            f"{_UWS}errorSummary",
            type="transient" if job.error.transient else "fatal",
            hasDetail="true" if job.error.has_detail else "false",
        )
        _add(summary, "message", job.error.message)
    info = etree.SubElement(root, f"{_UWS}jobInfo")
    _progress(info, job.progress)
    if job.note:
        etree.SubElement(info, "note").text = _plain(job.note)
    return _whole(root)


def parameters_document(job: Job, url: str) -> bytes:
    """Write a job's parameters; `url` is the job's address."""
    root = _element("parameters")
    _parameters(root, job, url)
    return _whole(root)


def results_document(job: Job, url: str) -> bytes:
    """Write the list of a job's results; `url` is the job's address."""
    root = _element("results")
    _results(root, job, url)
    return _whole(root)


def _element(tag: str, *, text: str | None = None, **attributes: str) -> etree._Element:
    element = etree.Element(f"{_UWS}{tag}", attributes, nsmap=_NAMESPACES)
    element.text = text
    return element


def _whole(root: etree._Element) -> bytes:
    return _DECLARATION + etree.tostring(root, encoding="UTF-8", xml_declaration=False) + b"\n"


def _plain(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)


def _add(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, f"{_UWS}{tag}").text = _plain(text)


def _add_or_nil(parent: etree._Element, tag: str, value: datetime | str | None) -> None:
    if value is None:
        etree.SubElement(parent, f"{_UWS}{tag}", _NIL)
    else:
        _add(parent, tag, value if isinstance(value, str) else iso(value))


def _ref(parent: etree._Element, ref: JobRef, url: str) -> None:
    element = etree.SubElement(parent, f"{_UWS}jobref", {"id": ref.id, _HREF: href(url, ref.id)})
    _add(element, "phase", ref.phase)
    if ref.run_id:
        _add(element, "runId", ref.run_id)
    _add_or_nil(element, "ownerId", ref.owner)
    _add(element, "creationTime", iso(ref.created))


def _parameters(parent: etree._Element, job: Job, url: str) -> None:
    for parameter in job.parameters:
        element = etree.SubElement(parent, f"{_UWS}parameter", id=_plain(parameter.id))
        if parameter.by_reference:
            element.set("byReference", "true")
        element.text = _plain(_value(parameter, job, url))


def _value(parameter: Parameter, job: Job, url: str) -> str:
    if parameter.by_reference and any(upload.name == parameter.value for upload in job.uploads):
        return href(url, "parameters", parameter.value)
    return parameter.value


def _results(parent: etree._Element, job: Job, url: str) -> None:
    for result in job.results:
        attributes = {
            "id": _plain(result.id),
            _HREF: href(url, "results", result.id),
            "size": str(result.size),
        }
        if result.mime_type:
            attributes["mime-type"] = _plain(result.mime_type)
        etree.SubElement(parent, f"{_UWS}result", attributes)


def _progress(parent: etree._Element, progress: Progress) -> None:
    element = etree.SubElement(parent, "progress")
    etree.SubElement(element, "total").text = str(max(progress.total, progress.done))
    for name in ("done", "failed", "bytes"):
        etree.SubElement(element, name).text = str(getattr(progress, name))
    share = percent(progress)
    if share is not None:
        etree.SubElement(element, "percent").text = f"{share:.1f}"
