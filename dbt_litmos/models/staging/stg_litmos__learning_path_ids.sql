{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'learning_path_id', 'string'),
    ('ListedAt', 'listed_at', 'datetime'),
] -%}
{{ litmos.stage(
    'learning_path_ids',
    fields,
    key=['Id']
) }}
