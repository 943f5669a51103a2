"""What an endpoint is: the vocabulary in which `streams.py` declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["string", "integer", "number", "boolean", "datetime", "hash"]

_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])")

_JSON_TYPES: dict[Kind, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "hash": {"type": "string"},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a stream.

    Attributes:
        name: The one name the field has in records.
        kind: How its text is cast. A `hash` is not sent by Litmos: it is computed
            over the canonical values of all other fields of the row.
        description: One line for a data analyst.
        also_sent_as: Other spellings under which Litmos may send it. Case never
            matters, so spellings that differ by case alone need no mention.
        selected_by_default: Whether it is in records unless the catalog says otherwise.
    """

    name: str
    kind: Kind
    description: str
    also_sent_as: tuple[str, ...] = ()
    selected_by_default: bool = True

    @property
    def title(self) -> str:
        """The name in words: `OriginalUserId` is `Original user id`."""
        first, *others = _BETWEEN_WORDS.sub(" ", self.name).split()
        return " ".join([first, *(each if each.isupper() else each.lower() for each in others)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint of Litmos, and the stream that it becomes.

    Attributes:
        stream: The stream's name.
        path: The path below the API's base URL.
        nesting: The element names from the root of the answer down to the row.
        title: What the rows are, in a word or two.
        description: One sentence for a data analyst.
        primary_key: The fields that identify a row.
        replication_key: The field that says when a row last changed. None marks a listing:
            an endpoint without date range, read whole each time and for its ids alone.
        fields: All fields, in the order of the schema.
        references: Field name to `stream.Field`, for fields that point to other rows.
        selected_by_default: Whether it is synced unless the catalog says otherwise.
    """

    stream: str
    path: str
    nesting: tuple[str, ...]
    title: str
    description: str
    primary_key: tuple[str, ...]
    replication_key: str | None
    fields: tuple[Field, ...]
    references: Mapping[str, str] = field(default_factory=dict)
    selected_by_default: bool = True

    @property
    def is_listing(self) -> bool:
        """Whether it lists the ids of all that exists, instead of what changed."""
        return self.replication_key is None

    @property
    def automatic(self) -> tuple[str, ...]:
        """The fields that every record holds: the keys."""
        keys = (*self.primary_key, *([self.replication_key] if self.replication_key else []))
        return tuple(dict.fromkeys(keys))

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the stream's records.

        Every field is nullable but those of the primary key. The maximum lengths of
        the vendor's document are left out: they are exceeded in practice.
        """
        properties: dict[str, Any] = {}
        for each in self.fields:
            of_kind = _JSON_TYPES[each.kind]
            nullable = [] if each.name in self.primary_key else ["null"]
            properties[each.name] = {
                **of_kind,
                "type": [of_kind["type"], *nullable],
                "title": each.title,
                "description": each.description,
            }
        return {
            "type": "object",
            "title": self.title,
            "description": self.description,
            "properties": properties,
            "required": list(self.primary_key),
        }
