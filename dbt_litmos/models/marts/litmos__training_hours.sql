{#- HH:mm:ss, where a day and more is told in hours, or by .NET as d.hh:mm:ss. -#}
{%- set hours = dbt.split_part('time_taken', "':'", 1) -%}
with results as (

    select
        result.user_id,
        coalesce(result.finished_date, result.updated_date, result.created_date) as trained_date,
        result.completed,
        case
            when translate(result.time_taken, '0123456789', '') in ('::', '.::', '::.', '.::.')
                and result.time_taken like '%_:__:__%'
                and result.time_taken not like '.%'
                and result.time_taken not like '%.:%'
                then result.time_taken
        end as time_taken
    from {{ ref('stg_litmos__module_results') }} as result
    where not result.is_deleted

),

parts as (

    select
        user_id,
        {{ litmos.day_of('trained_date') }} as trained_on,
        coalesce(completed, false) as is_completed,
        case
            when {{ hours }} like '%.%'
                then 24 * cast({{ dbt.split_part(hours, "'.'", 1) }} as {{ litmos.type_double() }})
                + cast({{ dbt.split_part(hours, "'.'", 2) }} as {{ litmos.type_double() }})
            else cast({{ hours }} as {{ litmos.type_double() }})
        end
        + cast({{ dbt.split_part('time_taken', "':'", 2) }} as {{ litmos.type_double() }}) / 60
        + cast({{ dbt.split_part('time_taken', "':'", 3) }} as {{ litmos.type_double() }}) / 3600
            as hours
    from results

),

months as (

    select
        user_id,
        cast({{ dbt.date_trunc('month', 'trained_on') }} as date) as month,
        cast(round(cast(sum(hours) as {{ dbt.type_numeric() }}), 2) as {{ litmos.type_double() }}) as hours,
        count(*) as modules,
        sum(case when is_completed then 1 else 0 end) as modules_completed
    from parts
    where trained_on is not null
    group by user_id, cast({{ dbt.date_trunc('month', 'trained_on') }} as date)

)

select
    {{ dbt.concat(["months.user_id", "'/'", "cast(months.month as " ~ dbt.type_string() ~ ")"]) }}
        as training_id,
    months.user_id,
    person.full_name,
    months.month,
    coalesce(months.hours, 0) as hours,
    months.modules,
    months.modules_completed
from months
left join {{ ref('int_litmos__people') }} as person on person.user_id = months.user_id
