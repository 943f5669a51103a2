with figures as (

    select
        course_id,
        {{ litmos.compliance_figures() }}
    from {{ ref('litmos__course_results') }}
    where is_current
    group by course_id

),

names as (

    select course_id, max(course_name) as course_name
    from {{ ref('litmos__course_results') }}
    group by course_id

)

select
    names.course_name,
    course.code as course_code,
    course.compliant_till_days as repeated_after_days,
    figures.*
from figures
left join names on names.course_id = figures.course_id
left join {{ ref('stg_litmos__courses') }} as course on course.course_id = figures.course_id
