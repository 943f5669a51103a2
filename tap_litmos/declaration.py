"""What a stream and an endpoint are: the vocabulary in which `streams.py` declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Kind = Literal["string", "integer", "number", "boolean", "datetime", "hash", "others"]

_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])")

_JSON_TYPES: dict[Kind, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "hash": {"type": "string"},
    "others": {"type": "string"},
}

_MAX_KEY_LENGTH = 255
"""The `maxLength` of text in a primary key: MySQL cannot index text without one.

The document gives ids 50 characters; its lengths are exceeded in practice.
"""
_LENGTH_OF_HASH = 64


@dataclass(frozen=True)
class Field:
    """One field of a stream.

    Attributes:
        name: The one name the field has in records.
        kind: How its text is cast. A `hash` is computed over the typed values of all other
            fields of the row; it is the key where Litmos sends no id. `others` holds, as JSON,
            elements that belong to no field, and values that do not fit the field they were
            sent for.
        description: One line for a data analyst.
        also_sent_as: Other spellings under which Litmos may send it. Case never
            matters, so spellings that differ by case alone need no mention.
        sent: Whether Litmos sends it. If not, the tap makes its value.
        default: Of a part of the primary key, its value where Litmos sends none, as a key
            cannot be null. None: no default.
        opt_in: The boolean setting without which the stream does not have the field,
            whatever the catalog selects. None: the field is always there.
    """

    name: str
    kind: Kind
    description: str
    also_sent_as: tuple[str, ...] = ()
    sent: bool = True
    default: bool | None = None
    opt_in: str | None = None

    @cached_property
    def title(self) -> str:
        """The name in words: `OriginalUserId` is `Original user id`."""
        first, *others = _BETWEEN_WORDS.sub(" ", self.name).split()
        return " ".join([first, *(word if word.isupper() else word.lower() for word in others)])


def plain_name(element: str) -> str:
    """Return the name of an element in lower case, and without the prefix of a namespace."""
    return element.rpartition(":")[2].lower()


OTHER_FIELDS = Field(
    "OtherFields",
    "others",
    "What Litmos sent and no other field holds, as a JSON object, null if nothing",
    sent=False,
)
"""The last field of every stream but the listings."""

LISTED_AT = Field(
    "ListedAt",
    "datetime",
    "When the list was read (UTC), the same for all rows of one list",
    sent=False,
)
"""The last field of every listing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What the rows of a stream are.

    Attributes:
        stream: The stream's name.
        title: What the rows are, in a word or two.
        description: One sentence for a data analyst.
        primary_key: The fields that identify a row.
        replication_key: The field that says when a row last changed, None if none does.
        fields: All fields, in the order of the schema.
        references: Field name to `stream.Field`, for fields that point to other rows.
        selected_by_default: Whether it is synced unless the catalog says otherwise.
    """

    stream: str
    title: str
    description: str
    primary_key: tuple[str, ...]
    replication_key: str | None
    fields: tuple[Field, ...]
    references: Mapping[str, str] = field(default_factory=dict, hash=False)
    selected_by_default: bool = True

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The keys, which every record holds: `inclusion` is "automatic" in the catalog."""
        keys = (*self.primary_key, *([self.replication_key] if self.replication_key else []))
        return tuple(dict.fromkeys(keys))

    @property
    def defaults(self) -> dict[str, bool]:
        """The fields that have a default, with it."""
        return {field.name: field.default for field in self.fields if field.default is not None}

    @property
    def hash_field(self) -> str | None:
        """The field that holds a hash of the row, None if none does."""
        return next((field.name for field in self.fields if field.kind == "hash"), None)

    @property
    def date_fields(self) -> list[str]:
        """The names of the fields that hold date-times of Litmos."""
        return [field.name for field in self.fields if field.kind == "datetime" and field.sent]

    def elements(self) -> dict[str, Field]:
        """Return the fields that Litmos sends, by each `plain_name` of their elements."""
        return {
            plain_name(name): field
            for field in self.fields
            if field.sent
            for name in (field.name, *field.also_sent_as)
        }

    def opted_out(self, settings: Mapping[str, Any]) -> set[str]:
        """Return the names of the fields whose setting is not on."""
        return {
            field.name
            for field in self.fields
            if field.opt_in is not None and settings.get(field.opt_in) is not True
        }

    def schema(self, leave_out: Collection[str] = ()) -> dict[str, Any]:
        """Return the JSON schema of the stream's records.

        Every field is nullable but those of the primary key.

        Args:
            leave_out: The names of fields to omit: see `opted_out`.
        """
        return {
            "type": "object",
            "title": self.title,
            "description": self.description,
            "properties": {
                field.name: self._property(field)
                for field in self.fields
                if field.name not in leave_out
            },
            "required": list(self.primary_key),
        }

    def _property(self, field: Field) -> dict[str, Any]:
        """Return the JSON schema of a field."""
        of_kind = _JSON_TYPES[field.kind]
        is_key = field.name in self.primary_key
        length = {"string": _MAX_KEY_LENGTH, "hash": _LENGTH_OF_HASH}.get(field.kind)
        return {
            **of_kind,
            "type": [of_kind["type"], *([] if is_key else ["null"])],
            **({"maxLength": length} if is_key and length else {}),
            "title": field.title,
            "description": field.description,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Declaration):
    """One endpoint of Litmos, and the stream that it becomes.

    Without a replication key it is a listing: an endpoint without date range, read whole each
    time, only for its ids, to detect deletes. A last field is added: `ListedAt` in a listing,
    else `OtherFields`, which holds the elements that no field takes.

    Attributes:
        path: The path below the API's base URL.
        nesting: The element names from the root of the answer down to the row.
    """

    path: str
    nesting: tuple[str, ...]

    def __post_init__(self) -> None:
        """Add the last field, so that no declaration has to list it."""
        last = LISTED_AT if self.is_listing else OTHER_FIELDS
        if last not in self.fields:  # `dataclasses.replace` calls this again
            object.__setattr__(self, "fields", (*self.fields, last))

    @property
    def is_listing(self) -> bool:
        """Whether it lists the ids of all that exists, instead of what changed."""
        return self.replication_key is None
