{# A date-time as a timestamp without time zone, in UTC, whatever type the target chose. #}
{% macro as_utc(column, data_type) %}
  {%- set type = data_type | lower -%}
  {#- Snowflake's timestamp_ntz has none: it would be taken for a moment in the session's. -#}
  {%- if 'with time zone' in type or ('tz' in type and 'ntz' not in type) -%}
    {{ litmos.without_zone(column) }}
  {%- else -%}
    {#- Text ends in Z, and a cast leaves the hours as they are. -#}
    cast({{ column }} as {{ dbt.type_timestamp() }})
  {%- endif -%}
{% endmacro %}


{# A date-time, or null on the days that databases write for "no date". #}
{% macro date_time(moment) -%}
  case
      when cast({{ moment }} as date) not in (cast('1900-01-01' as date), cast('9999-12-31' as date))
          then {{ moment }}
  end
{%- endmacro %}


{% macro without_zone(column) %}
  {{- return(adapter.dispatch('without_zone', 'litmos')(column)) -}}
{% endmacro %}

{% macro default__without_zone(column) -%}
  ({{ column }} at time zone 'UTC')
{%- endmacro %}

{% macro snowflake__without_zone(column) -%}
  cast(convert_timezone('UTC', {{ column }}) as {{ dbt.type_timestamp() }})
{%- endmacro %}


{# The day of a UTC timestamp in the time zone `litmos__time_zone`. #}
{% macro day_of(column) %}
  {{- return(adapter.dispatch('day_of', 'litmos')(column, var('litmos__time_zone'))) -}}
{% endmacro %}

{% macro default__day_of(column, zone) -%}
  {%- if zone == 'UTC' -%}
    cast({{ column }} as date)
  {%- else -%}
    cast(({{ column }} at time zone 'UTC') at time zone '{{ zone }}' as date)
  {%- endif -%}
{%- endmacro %}

{% macro redshift__day_of(column, zone) -%}
  cast(convert_timezone('UTC', '{{ zone }}', {{ column }}) as date)
{%- endmacro %}

{% macro snowflake__day_of(column, zone) -%}
  cast(convert_timezone('UTC', '{{ zone }}', {{ column }}) as date)
{%- endmacro %}

{% macro bigquery__day_of(column, zone) -%}
  date({{ column }}, '{{ zone }}')
{%- endmacro %}


{# The day that statuses are as of: `litmos__today`, or the day dbt runs. #}
{% macro today() -%}
  {%- set zone = modules.pytz.timezone(var('litmos__time_zone')) -%}
  {%- set day = var('litmos__today') or run_started_at.astimezone(zone).date() -%}
  cast('{{ day }}' as date)
{%- endmacro %}


{# Days from the first date to the second; negative if the second is earlier. #}
{% macro days_between(first, second) -%}
  {{ dbt.datediff(first, second, 'day') }}
{%- endmacro %}
