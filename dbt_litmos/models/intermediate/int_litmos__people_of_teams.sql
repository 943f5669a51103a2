{#
  Who is in which team, directly or through a team below it. Only active people and teams;
  people who were not loaded count.
#}
with members as (

    select member.account, member.team_id, member.user_id
    from {{ ref('stg_litmos__team_users') }} as member
    left join {{ ref('int_litmos__people') }} as person
        on person.user_id = member.user_id{{ litmos.same_account('person', 'member') }}
    inner join {{ ref('int_litmos__teams') }} as team
        on team.team_id = member.team_id{{ litmos.same_account('team', 'member') }}
    where coalesce(member.is_active, true) and not member.is_deleted
        and team.is_current
        and coalesce(person.is_current, true)

),

in_tree as (

    select account, team_id, user_id, 1 as is_direct
    from members

    union all

    select members.account, above.ancestor_id as team_id, members.user_id, 0 as is_direct
    from members
    inner join {{ ref('int_litmos__teams_above_teams') }} as above
        on above.node_id = members.team_id{{ litmos.same_account('above', 'members') }}
    inner join {{ ref('int_litmos__teams') }} as team
        on team.team_id = above.ancestor_id{{ litmos.same_account('team', 'members') }}
    where team.is_current

)

select account, team_id, user_id, max(is_direct) as is_direct
from in_tree
group by account, team_id, user_id
