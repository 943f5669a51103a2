{# People as the marts see them. #}
select
    user_id,
    user_name,
    full_name,
    email,
    job_title,
    access_level,
    {{ litmos.parent_id('manager_id') }} as manager_id,
    manager_name,
    is_active,
    is_deleted,
    coalesce(is_active, true) and not is_deleted as is_current,
    created_date,
    last_login
from {{ ref('stg_litmos__users') }}
