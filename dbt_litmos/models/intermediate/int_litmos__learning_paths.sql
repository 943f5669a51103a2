{# Learning paths as the marts see them. #}
select
    account,
    learning_path_id,
    {{ litmos.readable('name') }} as name,
    coalesce(is_active, true) and not is_deleted as is_current
from {{ ref('stg_litmos__learning_paths') }}
