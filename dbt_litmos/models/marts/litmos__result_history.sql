with versions as (

    select
        version.*,
        coalesce(updated_date, created_date) as valid_from,
        lead(coalesce(updated_date, created_date)) over (
            partition by account, user_id, course_id
            order by coalesce(updated_date, created_date) asc nulls first
        ) as valid_to
    from {{ ref('stg_litmos__course_results_versions') }} as version

)

select
    {{ litmos.key([
        'user_id', 'course_id', "coalesce(cast(updated_date as " ~ dbt.type_string() ~ "), '')"
    ]) }} as version_id,
    account,
    user_id,
    course_id,
    {{ litmos.readable('name') }} as course_name,
    valid_from,
    valid_to,
    valid_to is null as is_latest,
    is_active,
    completed as is_completed,
    percentage_complete,
    started_date,
    completed_date,
    due_date,
    compliant_till_date,
    overdue as is_flagged_overdue,
    up_to_date as is_up_to_date
from versions
