{# Teams as the marts see them. #}
select
    account,
    team_id,
    {{ litmos.readable('name') }} as name,
    {{ litmos.parent_id('parent_team_id') }} as parent_team_id,
    is_active,
    is_deleted,
    coalesce(is_active, true) and not is_deleted as is_current,
    created_date
from {{ ref('stg_litmos__teams') }}
