"""Addresses and identifiers: whom to believe, and what a DID says."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from sodalake.lake.errors import NotInLake
from sodalake.server.errors import BadParameter
from sodalake.server.urls import Did, Proxies, base_url, parse_did, publisher_did

KINDS = ("science", "template", "difference")
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(str.isprintable)


class Peer:
    """The connection of a request, as far as Tornado asks it who is there."""

    def __init__(self, ip: str) -> None:
        self.context = self
        self.remote_ip = ip
        self.protocol = "http"


def request(ip: str = "10.0.0.1", **headers: str) -> HTTPServerRequest:
    given_headers = {
        "Host": "inner:8080",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
        headers=HTTPHeaders(given_headers),
        connection=Peer(ip),  # type: ignore[arg-type]
    )


FORWARDED = {
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "alerts.example.org:8443",
    "X_Forwarded_Prefix": "/soda/",
}


def test_without_a_proxy_the_request_itself_says() -> None:
    assert base_url(request(), "", Proxies()) == "http://inner:8080"
    assert base_url(request(), "/lake", Proxies()) == "http://inner:8080/lake"


def test_a_trusted_proxy_is_believed() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    assert base_url(request(**FORWARDED), "/lake", proxies) == "https://alerts.example.org:8443/soda/lake"


def test_anybody_else_is_not() -> None:
    assert base_url(request("192.0.2.7", **FORWARDED), "", Proxies(["10.0.0.0/8"])) == "http://inner:8080"
    assert base_url(request(**FORWARDED), "", Proxies()) == "http://inner:8080"


def test_of_several_proxies_the_last_one_is_ours() -> None:
    chained = request(X_Forwarded_Host="evil.example, outer.example", X_Forwarded_Proto="http, https")
    assert base_url(chained, "", Proxies(["10.0.0.1"])) == "https://outer.example"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X_Forwarded_Proto", "javascript"),
        ("X_Forwarded_Host", "a b"),
        ("X_Forwarded_Host", "x/y"),
        ("X_Forwarded_Host", "user@x"),
        ("X_Forwarded_Prefix", "//evil.example"),
        ("X_Forwarded_Prefix", "/a/../b?x"),
        ("X_Forwarded_Prefix", "a"),
    ],
)
def test_a_malformed_header_is_passed_over(header: str, value: str) -> None:
    assert base_url(request(**{header: value}), "", Proxies(["10.0.0.1"])) == "http://inner:8080"


def test_ipv6() -> None:
    forwarded = request("2001:db8::7", X_Forwarded_Host="[2001:db8::1]:443")
    assert base_url(forwarded, "", Proxies(["2001:db8::/32"])) == "http://[2001:db8::1]:443"
    assert not Proxies(["10.0.0.0/8"]).trust("not an address")


@given(ids, st.sampled_from([None, *KINDS]))
def test_a_did_comes_back(alert_id: str, kind: str | None) -> None:
    did = Did("ztf", alert_id, kind)
    assert parse_did(publisher_did("sodalake", did), "sodalake", KINDS) == did


def test_the_registry_part_is_case_insensitive() -> None:
    assert parse_did("IVO://SodaLake/ZTF?1/Science", "sodalake", KINDS) == Did("ztf", "1", "science")


@pytest.mark.parametrize(
    "text",
    ["", "ivo://", "ivo://sodalake", "ivo://sodalake/ztf", "ivo://sodalake/?1", "ivo://sodalake/ztf?", "http://sodalake/ztf?1",
     "ivo://sodalake/ztf?1/none", "ivo://sodalake/ztf?1/", "ivo://sodalake/ztf?1/science/x", "ivo://sodalake/ztf?1#x",
     "ivo://sodalake/ztf?%zz", "ivo://sodalake/ztf?%ff", "ivo://sodalake/ztf?%0a", "ivo://sodalake/ztf?1/science\n"],
)  # fmt: skip
def test_what_is_no_did(text: str) -> None:
    with pytest.raises(BadParameter) as caught:
        parse_did(text, "sodalake", KINDS)
    assert "ivo://sodalake/SURVEY?ALERTID/KIND" in caught.value.advice


def test_another_publishers_did() -> None:
    with pytest.raises(NotInLake, match="elsewhere"):
        parse_did("ivo://elsewhere/ztf?1", "sodalake", KINDS)


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    with contextlib.suppress(BadParameter, NotInLake):
        parse_did(text, "sodalake", KINDS)
