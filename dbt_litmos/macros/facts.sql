{#
  What the page shows beside the marts, as one list of facts.

  Set `names` to have the names of the people who are late, too.

  Columns: about; part: of what (courses, teams, managers, paths); id: of which; course_name;
  full_name; since: a date or a time; number.
#}
{% macro facts(names) %}
  {%- set text = dbt.type_string() -%}
  with results as (

      select
          user_id,
          full_name,
          manager_id,
          course_id,
          course_name,
          status,
          is_assigned,
          case when status in ('overdue', 'lapsed') then 1 else 0 end as is_late,
          case when status = 'overdue' then due_on when status = 'lapsed' then compliant_till_on end
              as late_since,
          case when status = 'overdue' then days_overdue else days_lapsed end as days_late,
          case when status in ('not_started', 'in_progress') and due_on is null then 1 else 0 end
              as is_undated,
          case when due_on is not null then 1 else 0 end as is_dated,
          case when due_on is not null or is_recurring then 1 else 0 end as is_required,
          -- Was it late 30 days ago? Only what today's dates prove.
          case
              when {{ dbt.datediff("assigned_on", "as_of", "day") }} < 30 then 0
              when status = 'lapsed' and {{ dbt.datediff("compliant_till_on", "as_of", "day") }} > 30
                  then 1
              when status <> 'lapsed' and {{ dbt.datediff("due_on", "as_of", "day") }} > 30
                  and (
                      completed_on is null
                      or {{ dbt.datediff("completed_on", "as_of", "day") }} < 30
                  )
                  then 1
              else 0
          end as was_late
      from {{ ref('litmos__course_results') }}
      where is_current

  ),

  paths as (

      select
          path.learning_path_id,
          path.user_id,
          path.status,
          coalesce(max(result.is_dated), 0) as is_dated,
          coalesce(max(result.is_required), 0) as is_required
      from {{ ref('litmos__learning_path_results') }} as path
      left join {{ ref('stg_litmos__learning_path_courses') }} as link
          on link.learning_path_id = path.learning_path_id
          and coalesce(link.is_active, true) and not link.is_deleted
      left join results as result
          on result.course_id = link.course_id and result.user_id = path.user_id
      where path.is_current
      group by path.learning_path_id, path.user_id, path.status

  ),

  facts as (

      {% for part, key in (('all', "''"), ('courses', 'course_id'), ('managers', 'manager_id')) -%}
      select
          'undated' as about, '{{ part }}' as part, {{ key }} as id, '' as course_name,
          '' as full_name, '' as since, sum(is_undated) as number
      from results
      {%- if part != 'all' %}
      group by {{ key }}
      {%- endif %}

      union all

      {% endfor -%}
      select 'undated', 'teams', member.team_id, '', '', '', sum(result.is_undated)
      from {{ ref('int_litmos__people_of_teams') }} as member
      inner join results as result on result.user_id = member.user_id
      where member.is_direct = 1
      group by member.team_id

      union all

      select 'undated', 'paths', learning_path_id, '', '', '', count(*)
      from paths
      where status in ('not_started', 'in_progress') and is_dated = 0
      group by learning_path_id

      union all

      select 'required', 'courses', course_id, '', '', '', max(is_required)
      from results
      group by course_id

      union all

      select 'required', 'paths', learning_path_id, '', '', '', max(is_required)
      from paths
      group by learning_path_id

      union all

      select 'unassigned', 'all', status, '', '', '', count(*)
      from results
      where not is_assigned
      group by status

      union all

      select 'was_late', 'all', '', '', '', '', sum(was_late)
      from results

      union all

      select
          'age', status,
          case
              when days_late is null then 'unknown'
              when days_late <= 30 then '30'
              when days_late <= 90 then '90'
              when days_late <= 180 then '180'
              else 'more'
          end,
          '', '', '', count(*)
      from results
      where is_late = 1
      group by 2, 3

      union all

      select
          'late', 'managers', coalesce(manager_id, ''), course_name,
          {% if names %}coalesce(full_name, ''){% else %}''{% endif %},
          coalesce(cast(min(late_since) as {{ text }}), ''), count(*)
      from results
      where is_late = 1
      group by 3, 4, 5{{ ', user_id' if names }}
      {%- for stream in ('course_results', 'users') if execute %}
        {%- set table = load_relation(source('litmos', stream)) %}
        {%- set columns = adapter.get_columns_in_relation(table) if table else [] %}
        {%- for column in columns if column.name | lower in ('_sdc_batched_at', '_sdc_received_at') %}

      union all

      select 'synced', 'all', '', '', '', cast(max({{ adapter.quote(column.name) }}) as {{ text }}), 0
      from {{ table }}
        {%- endfor %}
      {%- endfor %}

  )

  select about, part, id, course_name, full_name, since, number
  from facts
  where number > 0 or about = 'synced'
{% endmacro %}
