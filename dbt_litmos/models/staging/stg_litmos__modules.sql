{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'module_id', 'string'),
    ('OriginalId', 'original_id', 'integer'),
    ('Name', 'name', 'string'),
    ('Description', 'description', 'string'),
    ('Active', 'is_active', 'boolean'),
    ('Passmark', 'passmark', 'number'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('ModuleType', 'module_type', 'string'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'modules',
    fields,
    key=['Id'],
    changed='UpdatedDate'
) }}
