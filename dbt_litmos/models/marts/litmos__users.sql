with teams as (

    select
        people.account,
        people.user_id,
        count(*) as teams,
        {{ dbt.listagg('team.name', "', '", 'order by team.name') }} as team_names
    from {{ ref('int_litmos__people_of_teams') }} as people
    inner join {{ ref('int_litmos__teams') }} as team
        on team.team_id = people.team_id{{ litmos.same_account('team', 'people') }}
    where people.is_direct = 1
    group by people.account, people.user_id

)

select
    person.account,
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
    teams.team_names,
    person.created_date,
    person.last_login
from {{ ref('int_litmos__people') }} as person
left join {{ ref('int_litmos__people') }} as manager
    on manager.user_id = person.manager_id{{ litmos.same_account('manager', 'person') }}
left join {{ ref('int_litmos__managers_of_people') }} as managers
    on managers.node_id = person.user_id and managers.is_top
    {{- litmos.same_account('managers', 'person') }}
left join teams
    on teams.user_id = person.user_id{{ litmos.same_account('teams', 'person') }}
