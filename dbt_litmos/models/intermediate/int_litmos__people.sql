{# People as the marts see them. #}
select
    account,
    user_id,
    user_name,
    {{ litmos.readable('full_name') }} as full_name,
    email,
    {{ litmos.readable('job_title') }} as job_title,
    access_level,
    {{ litmos.parent_id('manager_id') }} as manager_id,
    {{ litmos.readable('manager_name') }} as manager_name,
    is_active,
    is_deleted,
    coalesce(is_active, true) and not is_deleted as is_current,
    created_date,
    last_login
from {{ ref('stg_litmos__users') }}
