"""The stream `users` as a plain SDK tap would have it, to be compared with.

One request after another, `xmltodict.parse`, a schema, and what the SDK does by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import xmltodict
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.pagination import BaseOffsetPaginator
from typing_extensions import override

from tap_litmos.streams import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests
    from singer_sdk.helpers.types import Context, Record

_USERS = next(endpoint for endpoint in ENDPOINTS if endpoint.stream == "users")


class _Pages(BaseOffsetPaginator):
    @override
    def has_more(self, response: requests.Response) -> bool:
        return response.content.count(b"</User>") >= self._page_size


class PlainUsers(RESTStream[int]):
    """Users."""

    name = "users"
    path = _USERS.path
    primary_keys = ("Id",)
    schema: ClassVar[dict[str, Any]] = _USERS.schema()

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        return APIKeyAuthenticator(key="apikey", value=self.config["api_key"])

    @override
    def get_new_paginator(self) -> _Pages:
        return _Pages(0, self.config["page_size"])

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: int | None
    ) -> dict[str, Any]:
        return {
            "source": "plain",
            "since": self.config["start_date"],
            "to": self.config["end_date"],
            "start": next_page_token or 0,
            "limit": self.config["page_size"],
        }

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        root = xmltodict.parse(response.content, force_list=("User",))
        yield from root["Users"].get("User", [])

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record:
        """Turn what is marked as nil into null."""
        return {name: None if type(value) is dict else value for name, value in row.items()}


class PlainTap(Tap):
    """A tap of one stream."""

    name = "plain-litmos"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("api_key", th.StringType, required=True),
        th.Property("api_url", th.StringType, required=True),
        th.Property("start_date", th.StringType, required=True),
        th.Property("end_date", th.StringType, required=True),
        th.Property("page_size", th.IntegerType, default=1000),
    ).to_dict()

    @override
    def discover_streams(self) -> list[PlainUsers]:
        return [PlainUsers(self)]


if __name__ == "__main__":
    PlainTap.cli()
