{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('ActivityKey', 'activity_key', 'hash'),
    ('ActivityType', 'activity_type', 'string'),
    ('ObjectType', 'object_type', 'string'),
    ('ObjectId', 'object_id', 'string'),
    ('OriginalObjectId', 'original_object_id', 'integer'),
    ('ObjectName', 'object_name', 'string'),
    ('TargetObjectType', 'target_object_type', 'string'),
    ('TargetObjectId', 'target_object_id', 'string'),
    ('OriginalTargetObjectId', 'original_target_object_id', 'integer'),
    ('TargetObjectName', 'target_object_name', 'string'),
    ('ActivityBy', 'activity_by', 'integer'),
    ('ActivityByUserName', 'activity_by_user_name', 'string'),
    ('ActivityDate', 'activity_date', 'datetime'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'activity_content',
    fields,
    key=['ActivityKey'],
    changed='ActivityDate'
) }}
