with courses as (

    select
        link.account,
        link.learning_path_id,
        result.user_id,
        count(*) as courses,
        sum(case when result.status = 'overdue' then 1 else 0 end) as courses_overdue,
        sum(case when result.status = 'lapsed' then 1 else 0 end) as courses_lapsed
    from {{ ref('stg_litmos__learning_path_courses') }} as link
    inner join {{ ref('litmos__course_results') }} as result
        on result.course_id = link.course_id{{ litmos.same_account('result', 'link') }}
    where coalesce(link.is_active, true) and not link.is_deleted and result.is_current
    group by link.account, link.learning_path_id, result.user_id

),

facts as (

    select
        result.account,
        result.learning_path_id,
        result.user_id,
        person.full_name,
        person.manager_id,
        coalesce(path.name, {{ litmos.readable('result.name') }}) as learning_path_name,
        coalesce(person.is_current, true)
            and coalesce(path.is_current, true)
            and coalesce(result.is_active, true) as is_current,
        coalesce(result.completed, false) as is_completed,
        coalesce(result.completed, false)
            or result.start_date is not null
            or coalesce(result.percentage_complete, 0) > 0 as is_started,
        -- A path has no due date.
        false as is_flagged_overdue,
        cast(null as date) as due_on,
        result.percentage_complete,
        result.created_date as assigned_date,
        result.start_date as started_date,
        result.finish_date as completed_date,
        result.compliant_till_date,
        {{ litmos.day_of('result.created_date') }} as assigned_on,
        {{ litmos.day_of('result.finish_date') }} as completed_on,
        {{ litmos.day_of('result.compliant_till_date') }} as compliant_till_on,
        coalesce(courses.courses, 0) as courses,
        coalesce(courses.courses_overdue, 0) as courses_overdue,
        coalesce(courses.courses_lapsed, 0) as courses_lapsed
    from {{ ref('stg_litmos__learning_path_results') }} as result
    left join {{ ref('int_litmos__people') }} as person
        on person.user_id = result.user_id{{ litmos.same_account('person', 'result') }}
    left join {{ ref('int_litmos__learning_paths') }} as path
        on path.learning_path_id = result.learning_path_id
        {{- litmos.same_account('path', 'result') }}
    left join courses
        on courses.learning_path_id = result.learning_path_id
        and courses.user_id = result.user_id{{ litmos.same_account('courses', 'result') }}
    where not result.is_deleted

),

told as (

    -- Even if completed: a course may recur, or may have been added later.
    select
        facts.*,
        case when courses_overdue > 0 then 'overdue' else {{ litmos.status() }} end as status
    from facts

)

select
    {{ litmos.key(['user_id', 'learning_path_id']) }} as result_id,
    account,
    user_id,
    full_name,
    manager_id,
    learning_path_id,
    learning_path_name,
    is_current,
    status,
    status not in ('overdue', 'lapsed') as is_compliant,
    percentage_complete,
    courses,
    courses_overdue,
    courses_lapsed,
    assigned_date,
    started_date,
    completed_date,
    compliant_till_date,
    assigned_on,
    completed_on,
    compliant_till_on,
    case when status = 'lapsed' then {{ litmos.days_between('compliant_till_on', litmos.today()) }} end
        as days_lapsed,
    case when is_completed then {{ litmos.days_between('assigned_on', 'completed_on') }} end
        as days_to_complete,
    {{ litmos.today() }} as as_of
from told
