with teams as (

    select user_id, count(*) as teams
    from {{ ref('int_litmos__people_of_teams') }}
    where is_direct = 1
    group by user_id

)

select
    person.user_id,
    person.user_name,
    person.full_name,
    person.email,
    person.job_title,
    person.access_level,
    person.is_active,
    person.is_deleted,
    person.is_current,
    person.manager_id,
    coalesce(manager.full_name, person.manager_name) as manager_name,
    managers.path as manager_path,
    coalesce(managers.distance, 0) as managers_above,
    coalesce(teams.teams, 0) as teams,
    person.created_date,
    person.last_login
from {{ ref('int_litmos__people') }} as person
left join {{ ref('int_litmos__people') }} as manager on manager.user_id = person.manager_id
left join {{ ref('int_litmos__managers_of_people') }} as managers
    on managers.node_id = person.user_id and managers.is_top
left join teams on teams.user_id = person.user_id
