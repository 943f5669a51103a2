{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'user_id', 'string'),
    ('ListedAt', 'listed_at', 'datetime'),
] -%}
{{ litmos.stage(
    'user_ids',
    fields,
    key=['Id']
) }}
