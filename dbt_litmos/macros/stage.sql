{# Return a table as it was loaded, or none if it was not. #}
{% macro loaded(stream) %}
  {% set table = source('litmos', stream) %}
  {% do return(
      adapter.get_relation(table.database, table.schema, table.identifier) if execute else none
  ) %}
{% endmacro %}


{#
  Fail if no table of the tap is there: then the variables name another place than the target
  loads into. One table that is missing was not selected.
#}
{% macro fail_if_nothing_is_loaded() %}
  {% set tables = graph.sources.values() | selectattr('package_name', 'equalto', 'litmos') | list %}
  {% for table in tables %}
    {% if adapter.get_relation(table.database, table.schema, table.identifier) is not none %}
      {% do return('') %}
    {% endif %}
  {% endfor %}
  {% do exceptions.raise_compiler_error(
      'No table of tap-litmos in ' ~ tables[0].database ~ '.' ~ tables[0].schema
      ~ ': load it first, or set litmos__schema and litmos__database in dbt_project.yml'
  ) %}
{% endmacro %}


{# Return the columns of a table by their names in small letters: targets differ in case. #}
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


{# A column as the kind says, null if the table does not have it. #}
{% macro typed(columns, name, kind) %}
  {%- set column = columns.get(name | lower) -%}
  {%- if column is none -%}
    cast(null as {{ litmos.type_of(kind) }})
  {%- elif kind == 'datetime' -%}
    {{ litmos.as_utc(adapter.quote(column.name), column.data_type) }}
  {%- else -%}
    cast({{ adapter.quote(column.name) }} as {{ litmos.type_of(kind) }})
  {%- endif -%}
{% endmacro %}


{#
  Select from a table as the tap's rows were loaded: snake case, typed, each key once.

  Of the rows with one key the one that changed last counts, and of those the one that was
  loaded last: so a target that appends gives the same as one that replaces. Of the listings
  of ids the latest one counts.

  Args:
    stream: The name of the stream.
    fields: For each field its name as loaded, its name here, and its kind.
    key: The fields that identify a row.
    changed: The field that says when a row last changed.
    listing: The stream that lists the ids of all that exist, if there is one.
    every_version: Whether to keep a row for each moment of change.
#}
{% macro stage(stream, fields, key, changed=none, listing=none, every_version=false) %}
{%- set table = litmos.loaded(stream) -%}
{%- set columns = litmos.columns_by_name(table) -%}
{%- set id = fields | selectattr(0, 'equalto', key[0]) | map(attribute=1) | first -%}
{%- set identity = key + ([changed] if every_version else []) -%}
{%- if execute and table is none -%}
  {%- do litmos.fail_if_nothing_is_loaded() -%}
{%- endif -%}
with loaded as (

    select
    {%- for name, alias, kind in fields %}
        {{ litmos.typed(columns, name, kind) }} as {{ alias }},
    {%- endfor %}
    {%- if '_sdc_deleted_at' in columns %}
        {{ adapter.quote(columns['_sdc_deleted_at'].name) }} is not null as is_marked,
    {%- endif %}
    {%- if table is none %}
        1 as latest
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
    {%- endif %}
    {{ 'limit 0' if table is none else 'from ' ~ table }}

)

select
{%- for _, alias, _ in fields %}
    loaded.{{ alias }}{{ ',' if changed or not loop.last }}
{%- endfor %}
{%- if changed %}
    {{ 'is_marked' if '_sdc_deleted_at' in columns else 'false' }}
    {%- if listing %}
    -- What was created while the list was read need not be in it.
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
left join {{ ref('stg_litmos__' ~ listing) }} as listed on listed.{{ id }} = loaded.{{ id }}
cross join (
    select max(listed_at) as listed_at from {{ ref('stg_litmos__' ~ listing) }}
) as latest_list
{%- endif %}
where loaded.latest = 1
{%- if not changed and 'listedat' in columns %}
    -- What only an earlier list has was deleted since.
    and loaded.listed_at = (select max(listed_at) from loaded)
{%- endif %}
{% endmacro %}


{# A number with fractions, of 64 bits: what DuckDB calls a float has 32. #}
{% macro type_double() %}
  {{- return(adapter.dispatch('type_double', 'litmos')()) -}}
{% endmacro %}

{% macro default__type_double() %}
  {{- return(dbt.type_float()) -}}
{% endmacro %}

{% macro duckdb__type_double() %}
  {{- return('double') -}}
{% endmacro %}
