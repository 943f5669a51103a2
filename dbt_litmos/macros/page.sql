{#
  Print what the page shows, as a JSON object of lists of rows from the marts.

    dbt run-operation litmos.page --quiet --args '{names: true}'

  Without `names`, it names nobody who is late.
#}
{% macro page(names=false) %}
  {%- if execute and load_relation(ref('litmos__compliance')) is none -%}
    {%- do exceptions.raise_compiler_error(
        'There is no ' ~ ref('litmos__compliance') ~ ': dbt build --select package:litmos'
    ) -%}
  {%- endif -%}
  {%- set queries = {
      'overall': litmos.overall(),
      'courses': "select * from " ~ ref('litmos__compliance_by_course'),
      'teams': "select * from " ~ ref('litmos__compliance_by_team') ~ " where people > 0",
      'managers': "select * from " ~ ref('litmos__compliance_by_manager') ~ " where people > 0",
      'paths': litmos.paths(),
      'recertifications': "select due_month, course_name, people from "
          ~ ref('litmos__recertifications_due'),
      'changes': litmos.changes(),
      'facts': litmos.facts(names),
  } -%}
  {%- set found = {} -%}
  {%- for name, sql in queries.items() -%}
    {%- set rows = [] -%}
    {%- for row in run_query(sql).rows -%}
      {%- set values = {} -%}
      {%- for column, value in row.dict().items() -%}
        {%- do values.update({
            column | lower: value if value is none or value is boolean
            else value | int if value is number and value == value | int
            else value | float if value is number
            else value | string
        }) -%}
      {%- endfor -%}
      {%- do rows.append(values) -%}
    {%- endfor -%}
    {%- do found.update({name: rows}) -%}
  {%- endfor -%}
  {%- do print(tojson(found)) -%}
{% endmacro %}


{# The figures of all accounts together. #}
{% macro overall() %}
  select
      {{ litmos.today() }} as as_of,
      {{ litmos.compliance_figures() }},
      {{ var('litmos__expiring_days') }} as expiring_days
  from {{ ref('litmos__course_results') }}
  where is_current
{% endmacro %}


{# What happened within the last 7 and 30 days, including today. #}
{% macro changes() %}
  {%- set events = {
      'assigned': ('assigned_on', "true"),
      'completed': ('completed_on', "status in ('completed', 'expiring', 'lapsed')"),
      'overdue': ('due_on', "status = 'overdue'"),
      'lapsed': ('compliant_till_on', "status = 'lapsed'"),
  } -%}
  {%- for event, (day, condition) in events.items() -%}
    {#- What was due on a day is overdue from the next day. -#}
    {%- set until = 1 if event in ('overdue', 'lapsed') else 0 -%}
    {%- set age = litmos.days_between(day, 'as_of') -%}
    select
        {{ loop.index }} as position,
        '{{ event }}' as event,
        count(case when {{ age }} < {{ 7 + until }} then 1 end) as in_7_days,
        count(*) as in_30_days
    from {{ ref('litmos__course_results') }}
    where is_current and {{ condition }}
        and {{ age }} >= {{ until }} and {{ age }} < {{ 30 + until }}
    {{ 'union all' if not loop.last }}
  {% endfor -%}
  order by position
{% endmacro %}


{# The figures of learning paths, per person and path. #}
{% macro paths() %}
  select
      learning_path_id,
      max(learning_path_name) as learning_path_name,
      {{ litmos.compliance_figures(due_dates=false) }}
  from {{ ref('litmos__learning_path_results') }}
  where is_current
  group by account, learning_path_id
{% endmacro %}
