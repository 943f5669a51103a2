{#
  The hours that a TimeTaken says, or null if it cannot be read.

  It reads hours, minutes and seconds (`26:00:00`, by .NET also `1.02:00:00`), a time of day
  (`1:02:03 AM`) and an ISO duration (`PT1H2M3S`). `62:03` and `3723` do not say what they count.

  The patterns hold no backslash, and only groups that capture: databases differ in these.

  Args:
    time: The column, in capitals.
#}
{% macro hours_of(time) -%}
{%- set sixty = '([0-5]?[0-9])' -%}
{%- set seconds = '([0-5]?[0-9]([.][0-9]*)?)' -%}
{%- set span = '^([0-9]+[.])?([0-9]+):' ~ sixty ~ ':' ~ seconds ~ '$' -%}
{%- set time_of_day = '^(0?[1-9]|1[0-2]):' ~ sixty ~ ':' ~ seconds ~ ' ?[AP]M$' -%}
{%- set duration = '^P(0+[YM])*([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]*)?S)?)?$' -%}
case
    when {{ litmos.matches(time, span) }}
        then {{ litmos.hours_in(time, span, [1, 2, 3, 4]) }}
    when {{ litmos.matches(time, time_of_day) }}
        then {{ litmos.hours_in(time, time_of_day, [none, 1, 2, 3]) }}
        + case when {{ time }} like '%PM' then 12 else 0 end
        - case when {{ time }} like '12:%' then 12 else 0 end
    when {{ litmos.matches(time, duration) }} and {{ time }} not like '%P' and {{ time }} not like '%T'
        then {{ litmos.hours_in(time, duration, [2, 4, 5, 6]) }}
end
{%- endmacro %}


{# The hours in the groups of a pattern that hold days, hours, minutes and seconds. #}
{% macro hours_in(time, pattern, groups) -%}
  {%- set escape = {'redshift': '$', 'snowflake': '\\\\', 'bigquery': '\\\\'}.get(target.type, '\\') -%}
  {%- set sums = [] -%}
  {%- for group in groups if group -%}
    {%- set text = "regexp_replace(" ~ time ~ ", '" ~ pattern ~ "', '" ~ escape ~ group ~ "')" -%}
    {%- set number = "cast(nullif(rtrim(" ~ text ~ ", 'DHMS.'), '') as " ~ litmos.type_double() ~ ")" -%}
    {%- set unit = [' * 24', '', ' / 60', ' / 3600'][groups.index(group)] -%}
    {%- do sums.append('coalesce(' ~ number ~ ', 0)' ~ unit) -%}
  {%- endfor -%}
  ({{ sums | join(' + ') }})
{%- endmacro %}


{# Whether a text matches a pattern. #}
{% macro matches(text, pattern) %}
  {{- return(adapter.dispatch('matches', 'litmos')(text, pattern)) -}}
{% endmacro %}

{% macro default__matches(text, pattern) -%}
  {{ text }} ~ '{{ pattern }}'
{%- endmacro %}

{% macro snowflake__matches(text, pattern) -%}
  regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro bigquery__matches(text, pattern) -%}
  regexp_contains({{ text }}, '{{ pattern }}')
{%- endmacro %}
