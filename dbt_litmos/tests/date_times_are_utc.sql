{#
  Tables whose date-times were shifted while they were loaded, as target-postgres does without
  PGTZ=UTC. Some targets write the time of the load twice: as a number, which cannot shift, and
  as a date-time, which shifts like all others in the row.
#}
{%- set selects = [] -%}
{%- for _, table in litmos.loaded('users') + litmos.loaded('course_results') -%}
  {%- set columns = litmos.columns_by_name(table) -%}
  {%- if '_sdc_sequence' in columns and '_sdc_received_at' in columns -%}
    {%- set sequence = adapter.quote(columns['_sdc_sequence'].name) -%}
    {%- set received_at = litmos.typed(columns, '_sdc_received_at', 'datetime') -%}
    {%- set epoch = "cast('1970-01-01' as " ~ dbt.type_timestamp() ~ ")" -%}
    {%- set minutes -%}
      {{ dbt.datediff(epoch, received_at, 'minute') }} - floor({{ sequence }} / 60000)
    {%- endset -%}
    {%- do selects.append(
        "select '" ~ table.schema ~ "." ~ table.identifier ~ "' as loaded_table, count(*) as shifted_rows, "
        ~ "min(" ~ minutes ~ ") as minutes from " ~ table ~ " where " ~ sequence
        ~ " > 1000000000000 and abs(" ~ minutes ~ ") > 10 having count(*) > 0"
    ) -%}
  {%- endif -%}
{%- endfor -%}
{{ selects | join('\nunion all\n') or 'select 1 as nothing_to_compare limit 0' }}
