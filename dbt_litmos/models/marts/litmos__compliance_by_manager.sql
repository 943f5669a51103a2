with results as (

    select
        line.account,
        line.ancestor_id as manager_id,
        line.distance,
        result.user_id,
        result.status,
        result.due_on,
        result.is_assigned,
        result.is_on_time,
        result.is_due_soon
    from {{ ref('int_litmos__managers_of_people') }} as line
    inner join {{ ref('litmos__course_results') }} as result
        on result.user_id = line.node_id{{ litmos.same_account('result', 'line') }}
    where result.is_current

),

reports as (

    select
        account,
        manager_id,
        {{ litmos.compliance_figures() }}
    from results
    where distance = 1
    group by account, manager_id

),

line as (

    select
        account,
        manager_id,
        {{ litmos.compliance_figures() }}
    from results
    group by account, manager_id

),

-- For managers who were not loaded, their people's rows have the name.
names as (

    select account, manager_id, max(manager_name) as manager_name
    from {{ ref('litmos__users') }}
    group by account, manager_id

)

select
    line.account,
    line.manager_id,
    names.manager_name,
    manager.manager_path,
    coalesce(manager.is_current, true) as is_current,
    {{ litmos.figures_beside_those_of_all('reports', 'line') }}
from line
left join reports
    on reports.manager_id = line.manager_id{{ litmos.same_account('reports', 'line') }}
left join names
    on names.manager_id = line.manager_id{{ litmos.same_account('names', 'line') }}
left join {{ ref('litmos__users') }} as manager
    on manager.user_id = line.manager_id{{ litmos.same_account('manager', 'line') }}
