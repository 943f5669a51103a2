{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'team_id', 'string'),
    ('ListedAt', 'listed_at', 'datetime'),
] -%}
{{ litmos.stage(
    'team_ids',
    fields,
    key=['Id']
) }}
