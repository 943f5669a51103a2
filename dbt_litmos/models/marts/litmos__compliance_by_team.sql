with results as (

    select
        people.account,
        people.team_id,
        people.is_direct,
        result.user_id,
        result.status,
        result.due_on,
        result.is_assigned,
        result.is_on_time,
        result.is_due_soon
    from {{ ref('int_litmos__people_of_teams') }} as people
    inner join {{ ref('litmos__course_results') }} as result
        on result.user_id = people.user_id{{ litmos.same_account('result', 'people') }}
    where result.is_current

),

members as (

    select
        account,
        team_id,
        {{ litmos.compliance_figures() }}
    from results
    where is_direct = 1
    group by account, team_id

),

tree as (

    select
        account,
        team_id,
        {{ litmos.compliance_figures() }}
    from results
    group by account, team_id

)

select
    team.account,
    team.team_id,
    team.team_name,
    team.team_path,
    team.depth,
    {{ litmos.figures_beside_those_of_all('members', 'tree') }}
from {{ ref('litmos__teams') }} as team
inner join tree on tree.team_id = team.team_id{{ litmos.same_account('tree', 'team') }}
left join members
    on members.team_id = team.team_id{{ litmos.same_account('members', 'team') }}
