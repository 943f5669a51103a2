{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('TeamId', 'team_id', 'string'),
    ('Id', 'user_id', 'string'),
    ('OriginalTeamId', 'original_team_id', 'integer'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('Active', 'is_active', 'boolean'),
    ('IsTeamLeader', 'is_team_leader', 'boolean'),
    ('IsTeamAdmin', 'is_team_admin', 'boolean'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'team_users',
    fields,
    key=['TeamId', 'Id'],
    changed='UpdatedDate'
) }}
