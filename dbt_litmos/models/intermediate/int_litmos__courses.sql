{# Courses as the marts see them. #}
select
    account,
    course_id,
    {{ litmos.readable('name') }} as name,
    code,
    coalesce(is_active, true) and not is_deleted as is_current,
    compliant_till_days,
    time_limit_date,
    -- A longer limit would pass the end of time.
    case when time_limit_days between 0 and 365000 then time_limit_days end as time_limit_days
from {{ ref('stg_litmos__courses') }}
