{%- set this_month = dbt.date_trunc('month', litmos.today()) -%}
with due as (

    select
        cast({{ dbt.date_trunc('month', 'compliant_till_on') }} as date) as due_month,
        account,
        course_id,
        course_name,
        user_id,
        compliant_till_on
    from {{ ref('litmos__course_results') }}
    -- Whatever the status: it lapses on that day even if its renewal has begun.
    where is_current
        and compliant_till_on >= {{ litmos.today() }}
        and compliant_till_on < cast({{ dbt.dateadd('month', 13, this_month) }} as date)

)

select
    {{ litmos.key(['cast(due_month as ' ~ dbt.type_string() ~ ')', 'course_id']) }}
        as recertification_id,
    account,
    due_month,
    course_id,
    max(course_name) as course_name,
    count(*) as people,
    min(compliant_till_on) as first_on
from due
group by account, due_month, course_id
