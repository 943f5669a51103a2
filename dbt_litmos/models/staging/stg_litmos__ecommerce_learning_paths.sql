{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'learning_path_id', 'string'),
    ('Code', 'code', 'string'),
    ('Name', 'name', 'string'),
    ('Active', 'is_active', 'boolean'),
    ('UpdatedBy', 'updated_by', 'string'),
    ('OriginalId', 'original_id', 'string'),
    ('Description', 'description', 'string'),
    ('EcommerceShortDescription', 'ecommerce_short_description', 'string'),
    ('EcommerceLongDescription', 'ecommerce_long_description', 'string'),
    ('Skills', 'skills', 'string'),
    ('Price', 'price', 'number'),
    ('AccessTillDate', 'access_till_date', 'datetime'),
    ('AccessTillDays', 'access_till_days', 'integer'),
    ('CoursePrerequisites', 'course_prerequisites', 'string'),
    ('LearningPathPrerequisites', 'learning_path_prerequisites', 'string'),
    ('Currency', 'currency', 'string'),
    ('Languages', 'languages', 'string'),
    ('Topics', 'topics', 'string'),
    ('Tags', 'tags', 'string'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'string'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'ecommerce_learning_paths',
    fields,
    key=['Id'],
    changed='UpdatedDate'
) }}
