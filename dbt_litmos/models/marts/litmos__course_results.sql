with assigned as (

    select
        account,
        user_id,
        course_id,
        min(last_changed) as first_changed,
        max(last_changed) as last_changed
    from {{ ref('litmos__assignments') }}
    where is_current
    group by account, user_id, course_id

),

results as (

    select *
    from {{ ref('stg_litmos__course_results') }}
    where not is_deleted

),

versions as (

    select
        account,
        user_id,
        course_id,
        due_date,
        coalesce(updated_date, created_date) as changed,
        min(case when completed then completed_date end) over (
            partition by account, user_id, course_id
            order by coalesce(updated_date, created_date) asc nulls first
            rows between current row and unbounded following
        ) as first_completed_from_here
    from {{ ref('stg_litmos__course_results_versions') }}

),

-- Litmos clears DueDate when a course is completed; an earlier version may still have it. A due date
-- before an earlier completion belongs to that completion.
earlier as (

    select
        versions.account,
        versions.user_id,
        versions.course_id,
        versions.due_date,
        row_number() over (
            partition by versions.account, versions.user_id, versions.course_id
            order by versions.changed desc nulls last
        ) as latest
    from versions
    inner join results
        on results.user_id = versions.user_id and results.course_id = versions.course_id
        {{- litmos.same_account('results', 'versions') }}
    where versions.due_date is not null
        and (
            versions.first_completed_from_here is null
            or versions.first_completed_from_here >= results.completed_date
        )

),

-- A recurring course may have been completed before, with another due date. If there is exactly one
-- achievement, it was not, provided that older achievements were loaded too.
completions as (

    select account, user_id, course_id, count(*) as completions
    from {{ ref('stg_litmos__achievements') }}
    where course_id is not null and not is_deleted
    group by account, user_id, course_id

),

loaded_since as (

    select account, min(created_date) as first_achievement
    from {{ ref('stg_litmos__achievements') }}
    group by account

),

paired as (

    select
        coalesce(result.account, assigned.account) as account,
        coalesce(result.user_id, assigned.user_id) as user_id,
        coalesce(result.course_id, assigned.course_id) as course_id,
        assigned.user_id is not null as is_assigned,
        result.user_id is not null as has_result,
        coalesce(result.is_active, true) as is_active,
        -- Assigned again after the result was deactivated: earlier progress is void.
        result.user_id is not null
            and not coalesce(result.is_active, true)
            and coalesce(
                assigned.last_changed > coalesce(result.updated_date, result.created_date), false
            ) as is_assigned_again,
        -- Without a result, the first assignment sets the due date; a later one does not move it.
        case when result.user_id is null then assigned.first_changed else assigned.last_changed end
            as assigned_date,
        {{ litmos.readable('result.name') }} as course_name,
        result.user_name,
        result.created_date,
        result.started_date,
        result.completed_date,
        result.completed,
        result.percentage_complete,
        result.due_date,
        result.overdue,
        result.compliant_till_date,
        result.up_to_date
    from results as result
    full outer join assigned
        on assigned.user_id = result.user_id and assigned.course_id = result.course_id
        {{- litmos.same_account('assigned', 'result') }}

),

-- Progress before a new assignment does not count.
valid as (

    select
        account,
        user_id,
        course_id,
        course_name,
        user_name,
        is_assigned,
        is_active or is_assigned_again as is_active,
        has_result and not is_assigned_again as has_result,
        case when has_result and not is_assigned_again then created_date else assigned_date end
            as assigned_date,
        coalesce(completed, false) and not is_assigned_again as is_completed,
        coalesce(overdue, false) and not is_assigned_again as is_flagged_overdue,
        case when not is_assigned_again then started_date end as started_date,
        case when not is_assigned_again then completed_date end as completed_date,
        case when not is_assigned_again then percentage_complete end as percentage_complete,
        case when not is_assigned_again then compliant_till_date end as compliant_till_date,
        case when not is_assigned_again then up_to_date end as is_up_to_date,
        case when not is_assigned_again then due_date end as due_date
    from paired

),

facts as (

    select
        valid.account,
        valid.user_id,
        coalesce(person.full_name, valid.user_name) as full_name,
        person.email,
        person.manager_id,
        person.manager_name,
        person.team_names,
        valid.course_id,
        coalesce(course.name, valid.course_name) as course_name,
        course.compliant_till_days is not null or valid.compliant_till_date is not null
            as is_recurring,
        valid.is_assigned,
        valid.has_result,
        valid.is_active
            and coalesce(person.is_current, true)
            and coalesce(course.is_current, true) as is_current,
        valid.assigned_date,
        valid.started_date,
        valid.completed_date,
        valid.is_completed,
        valid.is_completed
            or valid.started_date is not null
            or coalesce(valid.percentage_complete, 0) > 0 as is_started,
        valid.is_flagged_overdue,
        valid.percentage_complete,
        valid.compliant_till_date,
        valid.is_up_to_date,
        valid.due_date as due_date_of_result,
        case when valid.is_completed then earlier.due_date end as due_date_before,
        coalesce(
            course.time_limit_date,
            cast(
                {{ dbt.dateadd('day', 'course.time_limit_days', 'valid.assigned_date') }}
                as {{ dbt.type_timestamp() }}
            )
        ) as due_date_of_course,
        completions.completions = 1 and valid.assigned_date >= loaded_since.first_achievement
            as is_first_completion
    from valid
    left join {{ ref('litmos__users') }} as person
        on person.user_id = valid.user_id{{ litmos.same_account('person', 'valid') }}
    left join {{ ref('int_litmos__courses') }} as course
        on course.course_id = valid.course_id{{ litmos.same_account('course', 'valid') }}
    left join earlier
        on earlier.user_id = valid.user_id
        and earlier.course_id = valid.course_id
        and earlier.latest = 1{{ litmos.same_account('earlier', 'valid') }}
    left join completions
        on completions.user_id = valid.user_id and completions.course_id = valid.course_id
        {{- litmos.same_account('completions', 'valid') }}
    left join loaded_since
        on {{ 'loaded_since.account = valid.account' if litmos.has_several_accounts() else 'true' }}

),

due as (

    select
        facts.*,
        case
            when due_date_of_result is not null then 'result'
            when due_date_before is not null then 'earlier version'
            when due_date_of_course is null then null
            when not has_result then 'course'
            when is_completed and (not is_recurring or is_first_completion) then 'course'
        end as due_date_from
    from facts

),

dated as (

    select
        due.*,
        case due_date_from
            when 'result' then due_date_of_result
            when 'earlier version' then due_date_before
            when 'course' then due_date_of_course
        end as due_date
    from due

),

days as (

    select
        dated.*,
        {{ litmos.day_of('assigned_date') }} as assigned_on,
        {{ litmos.day_of('completed_date') }} as completed_on,
        {{ litmos.day_of('due_date') }} as due_on,
        {{ litmos.day_of('compliant_till_date') }} as compliant_till_on
    from dated

),

told as (

    select days.*, {{ litmos.status() }} as status
    from days

)

select
    {{ litmos.key(['user_id', 'course_id']) }} as result_id,
    account,
    user_id,
    full_name,
    email,
    manager_id,
    manager_name,
    team_names,
    course_id,
    course_name,
    is_recurring,
    is_recurring or due_on is not null or due_date_of_course is not null as is_required,
    is_assigned,
    has_result,
    is_current,
    status,
    status not in ('overdue', 'lapsed') as is_compliant,
    percentage_complete,
    is_up_to_date,
    assigned_date,
    started_date,
    completed_date,
    due_date,
    due_date_from,
    compliant_till_date,
    assigned_on,
    completed_on,
    due_on,
    compliant_till_on,
    coalesce(
        status in ('not_started', 'in_progress')
        and {{ litmos.days_between(litmos.today(), 'due_on') }} <= {{ var('litmos__expiring_days') }},
        false
    ) as is_due_soon,
    case when is_completed then completed_on <= due_on end as is_on_time,
    case when status = 'overdue' then {{ litmos.days_between('due_on', litmos.today()) }} end
        as days_overdue,
    case when status = 'lapsed' then {{ litmos.days_between('compliant_till_on', litmos.today()) }} end
        as days_lapsed,
    case when is_completed then {{ litmos.days_between('assigned_on', 'completed_on') }} end
        as days_to_complete,
    {{ litmos.today() }} as as_of
from told
