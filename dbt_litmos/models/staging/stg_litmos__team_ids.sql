{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'team_id', 'string'),
] -%}
{{ litmos.stage(
    'team_ids',
    fields,
    key=['Id']
) }}
