"""Parameters the way of DALI: names, repeats, numbers, formats, JSON bodies."""

from __future__ import annotations

import contextlib
import math
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from sodalake.server.dali import Format, Parameters, clip, response_format
from sodalake.server.errors import BadParameter, BadRequest, MultiValuedParamNotSupported
from sodalake.server.soda import FORMATS

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def request(query: str = "", body: bytes = b"") -> HTTPServerRequest:
    line = RequestStartLine("POST" if body else "GET", "/?" + query, "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x"}), body=body)


names = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=10)


@given(st.lists(st.tuples(names, text), max_size=8))
def test_what_is_sent_is_what_is_read(pairs: list[tuple[str, str]]) -> None:
    read = Parameters.of(request(urlencode(pairs)))
    for name in {name.lower() for name, _ in pairs}:
        sent = [value for given_name, value in pairs if given_name.lower() == name]
        assert sorted(read[name.upper()]) == sorted(sent)


def test_names_are_case_insensitive_and_a_repeat_is_an_error() -> None:
    parameters = Parameters([("Circle", "1 2 3"), ("id", " a "), ("ID", "b"), ("EMPTY", "")])
    assert parameters.one("CIRCLE") == "1 2 3"
    assert parameters.one("empty") is None
    assert parameters.one("absent") is None
    with pytest.raises(MultiValuedParamNotSupported, match="2 times"):
        parameters.one("ID")
    with pytest.raises(BadParameter, match="required"):
        parameters.required("EMPTY")


@pytest.mark.parametrize("query", ["a=%", "a=%4", "a=%zz", "%g0=1", "a=%ff", "a=%c3%28"])
def test_what_is_not_percent_encoded_utf8_is_refused(query: str) -> None:
    with pytest.raises(BadParameter):
        Parameters.of(request(query))


@given(text)
def test_a_number_is_finite_and_in_its_range_or_refused(value: str) -> None:
    try:
        number = Parameters([("x", value)]).number("x", 1.0, 0.0, 100.0)
    except BadParameter:
        return
    assert math.isfinite(number)
    assert 0 <= number <= 100


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "101", "-0.1", "1,5", "0x10", "one"])
def test_what_is_no_number(value: str) -> None:
    with pytest.raises(BadParameter, match=r"not a number from 0 to 100"):
        Parameters([("x", value)]).number("x", 1.0, 0.0, 100.0)


@pytest.mark.parametrize("value", ["1.5", "1e3", "٣", "--1", "9" * 5000, "11", ""])
def test_what_is_no_integer(value: str) -> None:
    parameters = Parameters([("n", value)])
    if value:
        with pytest.raises(BadParameter, match="not an integer from 0 to 10"):
            parameters.integer("n", 5, 0, 10)
    else:
        assert parameters.integer("n", 5, 0, 10) == 5


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("1", True), ("True", True), ("T", True), ("0", False), ("FALSE", False), ("", False)],
)
def test_booleans(value: str, meaning: bool) -> None:
    assert Parameters([("all", value)]).flag("all") is meaning


def test_a_boolean_that_is_none() -> None:
    with pytest.raises(BadParameter):
        Parameters([("all", "maybe")]).flag("all")


def test_a_choice_is_given_back_as_it_is_known() -> None:
    parameters = Parameters([("kind", "sCiEnCe")])
    assert parameters.choice("kind", ("Science", "All")) == "Science"
    with pytest.raises(BadParameter, match="Science, All") as caught:
        Parameters([("kind", "Other")]).choice("kind", ("Science", "All"))
    assert "Other" in str(caught.value)


@given(st.sampled_from(FORMATS), st.data())
def test_a_mime_type_is_given_back_exactly(form: Format, data: st.DataObject) -> None:
    mime = data.draw(st.sampled_from(form.mimes))
    written = "".join(c.upper() if data.draw(st.booleans()) else c for c in mime)
    assert response_format(written, FORMATS) == (form, written)
    assert response_format(form.shorts[0].upper(), FORMATS) == (form, form.mimes[0])


@given(text)
def test_a_content_type_is_never_the_clients_invention(value: str) -> None:
    try:
        form, kind = response_format(value, FORMATS)
    except BadParameter:
        return
    assert kind.lower() in form.mimes


def test_the_query_goes_before_a_json_body_and_digits_stay() -> None:
    body = b'{"objectId": "a", "candid": 1786552611115010002, "pmin": 0.50, "all": true, "none": null}'
    parameters = Parameters.of_rest(request("OBJECTID=b", body))
    assert parameters.one("objectId") == "b"
    assert parameters.one("candid") == "1786552611115010002"
    assert parameters.one("pmin") == "0.50"
    assert parameters.flag("all") is True
    assert "none" not in parameters


@given(st.binary(min_size=1, max_size=60))
def test_no_body_is_more_than_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        Parameters.of_rest(request("", body))


@given(text)
def test_a_quoted_value_is_short_and_printable(value: str) -> None:
    assert len(clip(value, 20)) <= 20
    assert clip(value, 20).isprintable()
    assert clip(quote(value), 12 * len(value) + 1) == quote(value)
