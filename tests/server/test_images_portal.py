"""The page of a survey of images: its images as pictures, one in colour, and a form for cuts."""

from __future__ import annotations

import io
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

_ATTRIBUTE = re.compile(r'(src|href|action)="([^"]*)"')


@pytest.fixture(scope="module")
def page(image_server: Any) -> str:
    answer = image_server.ask("/", {"survey": "skytiles"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "img-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    return str(answer.body.decode())


def test_every_address_is_of_this_service(page: str, image_server: Any) -> None:
    addresses = [value for _, value in _ATTRIBUTE.findall(page) if not value.startswith("#")]
    assert len(addresses) > 20
    assert {urlsplit(value).netloc for value in addresses} == {image_server.host}


def test_pictures_are_those_of_its_images(page: str, image_server: Any) -> None:
    sources = [value.replace("&amp;", "&") for kind, value in _ATTRIBUTE.findall(page) if kind == "src"]
    small = [value for value in sources if "/soda/sync?" in value]
    assert len({parse_qs(urlsplit(value).query)["ID"][0] for value in small}) == len(small) > 0
    (colour,) = (value for value in sources if "/api/v1/images/cutout?" in value)
    for address, side in ((small[0], 256), (colour, 768)):
        answer = image_server.ask(address.removeprefix(image_server.url))
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
        assert max(Image.open(io.BytesIO(answer.body)).size) == side


def test_the_form_asks_for_what_the_service_takes(page: str, image_server: Any) -> None:
    form = page[page.index("<form") : page.index("</form>")]
    fields = dict(re.findall(r'name="(\w+)"[^>]*?value="([^"]*)"', form))
    assert set(fields) == {"survey", "ra", "dec", "size", "bands"}
    asked = {**fields, "format": "jpeg", "algorithm": "single"}
    answer = image_server.ask("/api/v1/images/cutout", asked)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")


def test_surveys_are_switched_between_and_others_are_told(page: str, image_server: Any) -> None:
    assert 'survey=skytiles" aria-current="page"' in page
    answer = image_server.ask("/", {"survey": "nosuch"})
    assert answer.status == 404
    assert "skytiles" in answer.body.decode()
    answer = image_server.ask("/")
    assert answer.status == 200
    assert "<h1>" in answer.body.decode()
