{# Return pairs of account and relation, one for each account that has the stream's table. #}
{% macro loaded(stream) %}
  {% set table = source('litmos', stream) %}
  {% set found = [] %}
  {% for schema in litmos.schemas() if execute %}
    {% set relation = adapter.get_relation(table.database, schema, table.identifier) %}
    {% if relation is not none %}
      {% do found.append((schema, relation)) %}
    {% endif %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}


{#
  Fail if a schema contains no table of the tap: the variables must be wrong. A single missing
  table was not selected.
#}
{% macro fail_if_nothing_is_loaded() %}
  {% set tables = graph.sources.values() | selectattr('package_name', 'equalto', 'litmos') | list %}
  {% for schema in litmos.schemas() %}
    {% set found = [] %}
    {% for table in tables if not found %}
      {% if adapter.get_relation(table.database, schema, table.identifier) is not none %}
        {% do found.append(table) %}
      {% endif %}
    {% endfor %}
    {% if not found %}
      {% do exceptions.raise_compiler_error(
          'No table of tap-litmos in ' ~ tables[0].database ~ '.' ~ schema
          ~ ': load it first, or set litmos__schema and litmos__database in dbt_project.yml'
      ) %}
    {% endif %}
  {% endfor %}
{% endmacro %}


{# Return the columns of a table by lowercase name, because targets differ in case. #}
{% macro columns_by_name(relation) %}
  {% set found = {} %}
  {% if relation is not none %}
    {% for column in adapter.get_columns_in_relation(relation) %}
      {% do found.update({column.name | lower: column}) %}
    {% endfor %}
  {% endif %}
  {% do return(found) %}
{% endmacro %}


{% macro type_of(kind) %}
  {% if kind == 'integer' %}{% do return(dbt.type_bigint()) %}
  {% elif kind == 'number' %}{% do return(litmos.type_double()) %}
  {% elif kind == 'boolean' %}{% do return(dbt.type_boolean()) %}
  {% elif kind == 'datetime' %}{% do return(dbt.type_timestamp()) %}
  {% else %}{% do return(dbt.type_string()) %}
  {% endif %}
{% endmacro %}


{# A column cast to the type of its kind; null if the table does not have it. #}
{% macro typed(columns, name, kind) %}
  {%- set column = columns.get(name | lower) -%}
  {%- if column is none -%}
    cast(null as {{ litmos.type_of(kind) }})
  {%- elif kind == 'datetime' -%}
    {{ litmos.date_time(litmos.as_utc(adapter.quote(column.name), column.data_type)) }}
  {%- else -%}
    cast({{ adapter.quote(column.name) }} as {{ litmos.type_of(kind) }})
  {%- endif -%}
{% endmacro %}


{#
  Select the rows of a stream: snake case, typed, one row per key.

  Of several rows with one key, the one that changed last counts, then the one loaded last. So a
  target that appends gives the same result as one that upserts. Of several listings of ids, the
  latest counts.

  Args:
    stream: The name of the stream.
    fields: Name as loaded, name here, and kind of each field.
    key: The fields that identify a row.
    changed: The field that says when a row last changed.
    listing: The stream that lists all ids that exist, if there is one.
    every_version: Whether to keep a row for each moment of change.
#}
{% macro stage(stream, fields, key, changed=none, listing=none, every_version=false) %}
{%- set tables = litmos.loaded(stream) -%}
{%- set id = fields | selectattr(0, 'equalto', key[0]) | map(attribute=1) | first -%}
{%- set identity = key + ([changed] if every_version else []) -%}
{%- if execute and tables | length < litmos.schemas() | length -%}
  {%- do litmos.fail_if_nothing_is_loaded() -%}
{%- endif -%}
with loaded as (
{% for account, table in tables or [('', none)] %}
    {%- set columns = litmos.columns_by_name(table) %}
    select
        cast('{{ account }}' as {{ dbt.type_string() }}) as account,
    {%- for name, alias, kind in fields %}
        {{ litmos.typed(columns, name, kind) }} as {{ alias }},
    {%- endfor %}
        {{ adapter.quote(columns['_sdc_deleted_at'].name) ~ ' is not null'
            if '_sdc_deleted_at' in columns else 'false' }} as is_marked,
    {%- if not changed %}
        max({{ litmos.typed(columns, 'ListedAt', 'datetime') }}) over () as last_listed_at,
    {%- endif %}
    {%- if table is none %}
        1 as latest
    limit 0
    {%- else %}
        row_number() over (
            partition by
            {%- for name in identity %}
                {{ adapter.quote(columns[name | lower].name) }}{{ ',' if not loop.last }}
            {%- endfor %}
            order by
            {%- if changed %}
                {{ litmos.typed(columns, changed, 'datetime') }} desc nulls last,
            {%- endif %}
            {%- for name in ['ListedAt'] + var('litmos__load_columns') if name | lower in columns %}
                {{ adapter.quote(columns[name | lower].name) }} desc nulls last,
            {%- endfor %}
                {{ adapter.quote(columns[key[0] | lower].name) }}
        ) as latest
    from {{ table }}
    {%- endif %}
    {{ 'union all' if not loop.last }}
{% endfor %}
)

select
    loaded.account,
{%- for _, alias, _ in fields %}
    loaded.{{ alias }}{{ ',' if changed or not loop.last }}
{%- endfor %}
{%- if changed %}
    loaded.is_marked
    {%- if listing %}
    -- A row created while the list was read may be missing from it.
    or (
        listed.listed_at is null
        and coalesce(
            coalesce(loaded.created_date, loaded.updated_date) < latest_list.listed_at, false
        )
    )
    {%- endif %} as is_deleted
{%- endif %}
from loaded
{%- if listing %}
left join {{ ref('stg_litmos__' ~ listing) }} as listed
    on listed.{{ id }} = loaded.{{ id }}{{ litmos.same_account('listed', 'loaded') }}
left join (
    select account, max(listed_at) as listed_at
    from {{ ref('stg_litmos__' ~ listing) }}
    group by account
) as latest_list on latest_list.account = loaded.account
{%- endif %}
where loaded.latest = 1
{%- if not changed %}
    -- Ids that only an earlier list has were deleted since.
    and (loaded.listed_at = loaded.last_listed_at or loaded.last_listed_at is null)
{%- endif %}
{%- for name, alias, kind in fields if name in key and kind == 'datetime' %}
    and loaded.{{ alias }} is not null
{%- endfor %}
{% endmacro %}


{# A 64-bit floating-point type: DuckDB's float has 32 bits. #}
{% macro type_double() %}
  {{- return(adapter.dispatch('type_double', 'litmos')()) -}}
{% endmacro %}

{% macro default__type_double() %}
  {{- return(dbt.type_float()) -}}
{% endmacro %}

{% macro duckdb__type_double() %}
  {{- return('double') -}}
{% endmacro %}
