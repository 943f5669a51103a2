{#
  When the rows behind an assignment last changed, ignoring rows without a date. In some
  databases, `greatest` returns null if any argument is null.
#}
{% macro last_change_of(rows) -%}
  {%- set dates = [] -%}
  {%- for row in rows -%}
    {%- do dates.append(row ~ '.updated_date, ' ~ row ~ '.created_date') -%}
  {%- endfor -%}
  {%- set changes = [] -%}
  {%- for date in dates -%}
    {%- do changes.append('coalesce(' ~ ([date] + dates) | join(', ') ~ ')') -%}
  {%- endfor -%}
  {{ changes[0] if changes | length == 1 else 'greatest(' ~ changes | join(', ') ~ ')' }}
{%- endmacro %}


{#
  The status of a result, from its days and not from Litmos' flags: a flag is as old as the row's
  last change, and a row does not change when a date passes.

  Nothing is overdue or lapsed on the day itself.

  Reads: is_completed, is_started, is_flagged_overdue, due_on, compliant_till_on.
#}
{% macro status() -%}
case
    when not is_completed
        and case when due_on is null then is_flagged_overdue else due_on < {{ litmos.today() }} end
        then 'overdue'
    when compliant_till_on < {{ litmos.today() }} then 'lapsed'
    when is_completed
        and {{ litmos.days_between(litmos.today(), 'compliant_till_on') }}
        <= {{ var('litmos__expiring_days') }}
        then 'expiring'
    when is_completed then 'completed'
    when is_started then 'in_progress'
    else 'not_started'
end
{%- endmacro %}


{#
  The compliance figures of a group of results.

  Args:
    due_dates: False for learning paths, which have no due dates.
#}
{% macro compliance_figures(due_dates=true) -%}
    {%- set person = litmos.key(['user_id']) -%}
    count(distinct {{ person }}) as people,
    count(distinct case when status in ('overdue', 'lapsed') then {{ person }} end) as people_behind,
    count(*) as assigned,
    count(case when status in ('completed', 'expiring') then 1 end) as completed,
    count(case when status = 'expiring' then 1 end) as expiring,
    count(case when status = 'in_progress' then 1 end) as in_progress,
    count(case when status = 'not_started' then 1 end) as not_started,
    count(case when status = 'overdue' then 1 end) as overdue,
    count(case when status = 'lapsed' then 1 end) as lapsed,
    {{ litmos.percent("count(case when status in ('completed', 'expiring') then 1 end)", "count(*)") }}
        as percent_completed,
    {{ litmos.percent("count(case when status not in ('overdue', 'lapsed') then 1 end)", "count(*)") }}
        as percent_compliant
  {%- if due_dates %},
    count(case when is_due_soon then 1 end) as due_soon,
    count(case when status in ('not_started', 'in_progress') and due_on is null then 1 end)
        as open_without_due_date,
    count(case when status in ('overdue', 'lapsed') and not is_assigned then 1 end)
        as late_without_assignment,
    {{ litmos.percent("count(case when is_on_time then 1 end)", "count(is_on_time)") }}
        as percent_on_time
  {%- endif %}
{%- endmacro %}


{% macro percent(part, whole) -%}
  round(cast(100.0 * {{ part }} / nullif({{ whole }}, 0) as {{ dbt.type_numeric() }}), 1)
{%- endmacro %}


{#
  The figures of people directly below, and some figures of everybody below.

  Args:
    direct: The CTE for people directly below; it may lack a row.
    all: The CTE for everybody below.
#}
{% macro figures_beside_those_of_all(direct, all) -%}
  {%- for name in [
      'people', 'people_behind', 'assigned', 'completed', 'expiring', 'in_progress',
      'not_started', 'overdue', 'lapsed', 'due_soon', 'open_without_due_date',
      'late_without_assignment',
  ] %}
    coalesce({{ direct }}.{{ name }}, 0) as {{ name }},
  {%- endfor %}
    {{ direct }}.percent_completed,
    {{ direct }}.percent_compliant,
    {{ direct }}.percent_on_time,
  {%- for name in [
      'people', 'people_behind', 'assigned', 'completed', 'overdue', 'lapsed',
      'percent_completed', 'percent_compliant',
  ] %}
    {{ all }}.{{ name }} as {{ name }}_in_tree{{ ',' if not loop.last }}
  {%- endfor %}
{%- endmacro %}
