select
    max(account) as account,
    {{ litmos.today() }} as as_of,
    {{ litmos.compliance_figures() }}
from {{ ref('litmos__course_results') }}
where is_current
{{ 'group by account' if litmos.has_several_accounts() }}
