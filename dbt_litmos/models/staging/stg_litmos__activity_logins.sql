{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('ActivityKey', 'activity_key', 'hash'),
    ('ActivityType', 'activity_type', 'string'),
    ('UserId', 'user_id', 'string'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('UserName', 'user_name', 'string'),
    ('IPAddress', 'ip_address', 'string'),
    ('LoginDate', 'login_date', 'datetime'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'activity_logins',
    fields,
    key=['ActivityKey'],
    changed='LoginDate'
) }}
