{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'course_id', 'string'),
] -%}
{{ litmos.stage(
    'course_ids',
    fields,
    key=['Id']
) }}
