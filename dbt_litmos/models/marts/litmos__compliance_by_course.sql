with figures as (

    select
        account,
        course_id,
        count(case when is_required then 1 end) > 0 as is_required,
        {{ litmos.compliance_figures() }}
    from {{ ref('litmos__course_results') }}
    where is_current
    group by account, course_id

),

names as (

    select account, course_id, max(course_name) as course_name
    from {{ ref('litmos__course_results') }}
    group by account, course_id

)

select
    names.course_name,
    course.code as course_code,
    course.compliant_till_days as repeated_after_days,
    figures.*
from figures
left join names
    on names.course_id = figures.course_id{{ litmos.same_account('names', 'figures') }}
left join {{ ref('int_litmos__courses') }} as course
    on course.course_id = figures.course_id{{ litmos.same_account('course', 'figures') }}
