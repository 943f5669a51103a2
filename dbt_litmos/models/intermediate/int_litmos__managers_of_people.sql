{{ litmos.ancestors(
    ref('int_litmos__people'), 'user_id', 'manager_id', 'full_name', parent_name='manager_name'
) }}
