select
    {{ litmos.today() }} as as_of,
    {{ litmos.compliance_figures() }}
from {{ ref('litmos__course_results') }}
where is_current
