with results as (

    select
        people.team_id,
        people.is_direct,
        result.user_id,
        result.status,
        result.is_on_time,
        result.is_due_soon
    from {{ ref('int_litmos__people_of_teams') }} as people
    inner join {{ ref('litmos__course_results') }} as result on result.user_id = people.user_id
    where result.is_current

),

members as (

    select
        team_id,
        {{ litmos.compliance_figures() }}
    from results
    where is_direct = 1
    group by team_id

),

tree as (

    select
        team_id,
        {{ litmos.compliance_figures() }}
    from results
    group by team_id

)

select
    team.team_id,
    team.team_name,
    team.team_path,
    team.depth,
    {{ litmos.figures_beside_those_of_all('members', 'tree') }}
from {{ ref('litmos__teams') }} as team
inner join tree on tree.team_id = team.team_id
left join members on members.team_id = team.team_id
