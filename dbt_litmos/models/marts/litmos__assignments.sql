{%- set in_force = 'coalesce({0}.is_active, true) and not {0}.is_deleted' -%}
with direct as (

    select
        link.account,
        link.user_id,
        link.course_id,
        'user' as reason,
        cast(null as {{ dbt.type_string() }}) as team_id,
        cast(null as {{ dbt.type_string() }}) as learning_path_id,
        {{ litmos.last_change_of(['link']) }} as last_changed
    from {{ ref('stg_litmos__user_courses') }} as link
    where {{ in_force.format('link') }}

),

-- Teams and learning paths that were not loaded count.
members as (

    select
        member.account,
        member.team_id,
        member.user_id,
        member.created_date,
        member.updated_date
    from {{ ref('stg_litmos__team_users') }} as member
    left join {{ ref('int_litmos__teams') }} as team
        on team.team_id = member.team_id{{ litmos.same_account('team', 'member') }}
    where {{ in_force.format('member') }} and coalesce(team.is_current, true)

),

path_courses as (

    select
        link.account,
        link.learning_path_id,
        link.course_id,
        link.created_date,
        link.updated_date
    from {{ ref('stg_litmos__learning_path_courses') }} as link
    left join {{ ref('int_litmos__learning_paths') }} as path
        on path.learning_path_id = link.learning_path_id{{ litmos.same_account('path', 'link') }}
    where {{ in_force.format('link') }} and coalesce(path.is_current, true)

),

through_team as (

    select
        link.account,
        members.user_id,
        link.course_id,
        'team' as reason,
        link.team_id,
        cast(null as {{ dbt.type_string() }}) as learning_path_id,
        {{ litmos.last_change_of(['members', 'link']) }} as last_changed
    from {{ ref('stg_litmos__team_courses') }} as link
    inner join members
        on members.team_id = link.team_id{{ litmos.same_account('members', 'link') }}
    -- Courses in a library are optional. Courses of learning paths follow below.
    where {{ in_force.format('link') }}
        and not coalesce(link.is_in_team_library, false)
        and not coalesce(link.learning_path_assignment, false)

),

through_path as (

    select
        link.account,
        link.user_id,
        path_courses.course_id,
        'learning_path' as reason,
        cast(null as {{ dbt.type_string() }}) as team_id,
        link.learning_path_id,
        {{ litmos.last_change_of(['path_courses', 'link']) }} as last_changed
    from {{ ref('stg_litmos__learning_path_users') }} as link
    inner join path_courses
        on path_courses.learning_path_id = link.learning_path_id
        {{- litmos.same_account('path_courses', 'link') }}
    where {{ in_force.format('link') }}

),

through_path_of_team as (

    select
        link.account,
        members.user_id,
        path_courses.course_id,
        'team_learning_path' as reason,
        link.team_id,
        link.learning_path_id,
        {{ litmos.last_change_of(['members', 'path_courses', 'link']) }} as last_changed
    from {{ ref('stg_litmos__team_learning_paths') }} as link
    inner join members
        on members.team_id = link.team_id{{ litmos.same_account('members', 'link') }}
    inner join path_courses
        on path_courses.learning_path_id = link.learning_path_id
        {{- litmos.same_account('path_courses', 'link') }}
    where {{ in_force.format('link') }}
        and not coalesce(link.is_in_team_library, false)

),

every_way as (

    select * from direct
    union all
    select * from through_team
    union all
    select * from through_path
    union all
    select * from through_path_of_team

)

select
    {{ litmos.key([
        "every_way.user_id", "every_way.course_id", "every_way.reason",
        "coalesce(every_way.team_id, '')", "coalesce(every_way.learning_path_id, '')",
    ], 'every_way.account') }} as assignment_id,
    every_way.account,
    every_way.user_id,
    person.full_name,
    every_way.course_id,
    course.name as course_name,
    every_way.reason,
    every_way.team_id,
    team.name as team_name,
    every_way.learning_path_id,
    path.name as learning_path_name,
    every_way.last_changed,
    coalesce(person.is_current, true) and coalesce(course.is_current, true) as is_current
from every_way
left join {{ ref('int_litmos__people') }} as person
    on person.user_id = every_way.user_id{{ litmos.same_account('person', 'every_way') }}
left join {{ ref('int_litmos__courses') }} as course
    on course.course_id = every_way.course_id{{ litmos.same_account('course', 'every_way') }}
left join {{ ref('int_litmos__teams') }} as team
    on team.team_id = every_way.team_id{{ litmos.same_account('team', 'every_way') }}
left join {{ ref('int_litmos__learning_paths') }} as path
    on path.learning_path_id = every_way.learning_path_id
    {{- litmos.same_account('path', 'every_way') }}
