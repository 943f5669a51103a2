{# Written by `make docs`. Name as loaded, name here, kind. #}
{%- set fields = [
    ('Id', 'achievement_id', 'string'),
    ('UserId', 'user_id', 'string'),
    ('CourseId', 'course_id', 'string'),
    ('LearningPathId', 'learning_path_id', 'string'),
    ('OriginalAchievementId', 'original_achievement_id', 'integer'),
    ('OriginalUserId', 'original_user_id', 'integer'),
    ('OriginalCourseId', 'original_course_id', 'integer'),
    ('OriginalLearningPathId', 'original_learning_path_id', 'integer'),
    ('CompliantTillDate', 'compliant_till_date', 'datetime'),
    ('Title', 'title', 'string'),
    ('AchievementDate', 'achievement_date', 'datetime'),
    ('Type', 'type', 'string'),
    ('CertificateId', 'certificate_id', 'integer'),
    ('CreatedDate', 'created_date', 'datetime'),
    ('UpdatedDate', 'updated_date', 'datetime'),
    ('CreatedBy', 'created_by', 'integer'),
    ('UpdatedBy', 'updated_by', 'integer'),
    ('OtherFields', 'other_fields', 'others'),
] -%}
{{ litmos.stage(
    'achievements',
    fields,
    key=['Id'],
    changed='UpdatedDate'
) }}
