{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'course_id', 'string'),
    ('ListedAt', 'listed_at', 'datetime'),
] -%}
{{ litmos.stage(
    'course_ids',
    fields,
    key=['Id']
) }}
