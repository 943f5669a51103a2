{{ litmos.ancestors(ref('int_litmos__teams'), 'team_id', 'parent_team_id', 'name') }}
