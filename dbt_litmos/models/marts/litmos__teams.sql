with members as (

    select account, team_id, sum(is_direct) as members, count(*) as members_in_tree
    from {{ ref('int_litmos__people_of_teams') }}
    group by account, team_id

)

select
    team.account,
    team.team_id,
    team.name as team_name,
    team.is_active,
    team.is_deleted,
    team.parent_team_id,
    coalesce(above.ancestor_id, team.team_id) as root_team_id,
    coalesce(root.name, team.name) as root_team_name,
    coalesce(above.distance, 0) as depth,
    case
        when above.path is null then team.name
        else {{ dbt.concat(["above.path", "' > '", "team.name"]) }}
    end as team_path,
    coalesce(members.members, 0) as members,
    coalesce(members.members_in_tree, 0) as members_in_tree,
    team.created_date
from {{ ref('int_litmos__teams') }} as team
left join {{ ref('int_litmos__teams_above_teams') }} as above
    on above.node_id = team.team_id and above.is_top{{ litmos.same_account('above', 'team') }}
left join {{ ref('int_litmos__teams') }} as root
    on root.team_id = above.ancestor_id{{ litmos.same_account('root', 'above') }}
left join members
    on members.team_id = team.team_id{{ litmos.same_account('members', 'team') }}
