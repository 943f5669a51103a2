"""Write the sources and staging models of the dbt package from the declarations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tap_litmos.streams import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_litmos.declaration import Endpoint, Field

FOLDER = Path("dbt_litmos/models/staging")

_WRITTEN = "Written by `make docs`."
_NOT_STAGED = {"LoginKey"}
"""Fields that no model holds: a login link is a secret."""

_WITH_VERSIONS = "course_results"
"""The stream of which every loaded version is staged, not only the last one."""

_BUSY = {"users", "user_logins", "module_results", "course_results"}
"""The streams in which a few days without a new row are a sign of trouble."""

_LISTINGS = {
    endpoint.references["Id"].partition(".")[0]: endpoint.stream
    for endpoint in ENDPOINTS
    if endpoint.is_listing
}
_ACCOUNT = {"name": "account", "description": '{{ doc("litmos_account") }}'}
_COMPUTED = {
    "is_deleted": "True if deleted for good: marked by the target, or missing in the listing "
    "of ids that was read last"
}


def column(endpoint: Endpoint, field: Field) -> str:
    """Return the name of a field in its staging model.

    An `Id` is called for what it identifies, so that equal names can be joined: that of
    `course_results` is a `course_id`.
    """
    if field.name == "Id":
        of = endpoint.references.get("Id", f"{endpoint.stream}.Id").partition(".")[0]
        return f"{of.removesuffix('s')}_id"
    if field.name == "Active":
        return "is_active"
    return field.title.lower().replace(" ", "_")


def _fields(endpoint: Endpoint) -> Iterator[Field]:
    return (field for field in endpoint.fields if field.name not in _NOT_STAGED)


def _renamed(endpoint: Endpoint, name: str) -> str:
    [field] = [field for field in endpoint.fields if field.name == name]
    return column(endpoint, field)


def _model(endpoint: Endpoint, *, every_version: bool = False) -> str:
    """Return the SQL of a staging model."""
    fields = "".join(
        f"    ('{field.name}', '{column(endpoint, field)}', '{field.kind}'),\n"
        for field in _fields(endpoint)
    )
    arguments = [
        f"'{endpoint.stream}'",
        "fields",
        f"key={list(endpoint.primary_key)}",
        *([f"changed='{endpoint.replication_key}'"] if endpoint.replication_key else []),
        *([f"listing='{_LISTINGS[endpoint.stream]}'"] if endpoint.stream in _LISTINGS else []),
        *(["every_version=true"] if every_version else []),
    ]
    written = ",\n    ".join(arguments)
    return (
        f"{{# {_WRITTEN} Name as loaded, name here, kind. #}}\n"
        f"{{%- set fields = [\n{fields}] -%}}\n"
        f"{{{{ litmos.stage(\n    {written}\n) }}}}\n"
    )


def _sources() -> dict[str, Any]:
    tables = []
    for endpoint in ENDPOINTS:
        name = endpoint.stream
        identifier = f"{{{{ var('litmos__{name}_identifier', '{name}') }}}}"
        table: dict[str, Any] = {
            "name": name,
            "identifier": identifier,
            "description": endpoint.description,
        }
        if name in _BUSY:
            table["config"] = {
                "freshness": {"warn_after": {"count": 3, "period": "day"}, "error_after": None}
            }
        tables.append(table)
    return {
        "version": 2,
        "sources": [
            {
                "name": "litmos",
                "description": "The tables into which tap-litmos is loaded",
                "database": "{{ var('litmos__database', target.database) }}",
                "schema": "{{ (var('litmos__schemas', []) or [none])[0] "
                "or var('litmos__schema', 'litmos') }}",
                "config": {
                    "loaded_at_field": "{{ var('litmos__loaded_at_field', '_sdc_batched_at') }}"
                },
                "tables": tables,
            }
        ],
    }


def _key(endpoint: Endpoint, *, every_version: bool) -> list[str]:
    """Return the columns that identify a row of a staging model."""
    version = [endpoint.replication_key] if every_version and endpoint.replication_key else []
    return [
        "account",
        *(_renamed(endpoint, name) for name in (*endpoint.primary_key, *version)),
    ]


def _properties(endpoint: Endpoint, *, every_version: bool = False) -> dict[str, Any]:
    """Return the description and the tests of a staging model."""
    key = _key(endpoint, every_version=every_version)
    return {
        "name": _name(endpoint, every_version=every_version),
        "description": endpoint.description
        + (". Every version that was loaded" if every_version else ""),
        "data_tests": [{"litmos.primary_key": {"arguments": {"key": key}}}],
        "columns": _columns(endpoint, every_version=every_version),
    }


def _columns(endpoint: Endpoint, *, every_version: bool) -> list[dict[str, Any]]:
    """Return the descriptions and the tests of the columns of a staging model."""
    columns: list[dict[str, Any]] = [dict(_ACCOUNT)]
    for field in _fields(endpoint):
        name = column(endpoint, field)
        described: dict[str, Any] = {"name": name, "description": field.description}
        if field.name in endpoint.references and not every_version:
            refers = _relationship(endpoint, name, endpoint.references[field.name])
            described["data_tests"] = [refers]
        columns.append(described)
    if not endpoint.is_listing:
        columns += [
            {"name": name, "description": description} for name, description in _COMPUTED.items()
        ]
    return columns


def _relationship(endpoint: Endpoint, name: str, reference: str) -> dict[str, Any]:
    """Return a test that warns of rows that refer to a missing row.

    The row may have changed last before the `start_date`, or be deleted for good.

    Args:
        endpoint: The endpoint of the rows.
        name: The column that refers. Litmos also says 0 for none.
        reference: What it refers to.
    """
    of = reference.partition(".")[0]
    config = {
        "enabled": "{{ var('litmos__test_relationships', true) | as_bool }}",
        "severity": "warn",
    }
    if not endpoint.is_listing:
        config["where"] = f"not is_deleted and {name} <> '0'"
    arguments = {"to": f"ref('stg_litmos__{of}')", "field": f"{of.removesuffix('s')}_id"}
    return {"litmos.refers_to": {"arguments": arguments, "config": config}}


def _name(endpoint: Endpoint, *, every_version: bool = False) -> str:
    return f"stg_litmos__{endpoint.stream}{'_versions' if every_version else ''}"


def _yaml(data: object) -> str:
    written = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=96)
    return f"# {_WRITTEN}\n{written}"


def staging() -> dict[Path, str]:
    """Return the content of each file that is generated for the package."""
    models = [(endpoint, False) for endpoint in ENDPOINTS]
    models += [(endpoint, True) for endpoint in ENDPOINTS if endpoint.stream == _WITH_VERSIONS]
    return {
        **{
            FOLDER / f"{_name(endpoint, every_version=every)}.sql": _model(
                endpoint, every_version=every
            )
            for endpoint, every in models
        },
        FOLDER / "_sources.yml": _yaml(_sources()),
        FOLDER / "_staging.yml": _yaml(
            {
                "version": 2,
                "models": [
                    _properties(endpoint, every_version=every) for endpoint, every in models
                ],
            }
        ),
    }
