with results as (

    select
        account,
        user_id,
        {{ litmos.day_of('coalesce(finished_date, updated_date, created_date)') }} as trained_on,
        coalesce(completed, false) as is_completed,
        upper(trim(time_taken)) as time_taken
    from {{ ref('stg_litmos__module_results') }}
    where not is_deleted

),

timed as (

    select
        account,
        user_id,
        cast({{ dbt.date_trunc('month', 'trained_on') }} as date) as month,
        is_completed,
        {{ litmos.hours_of('time_taken') }} as hours
    from results
    where trained_on is not null

),

months as (

    select
        account,
        user_id,
        month,
        cast(round(cast(sum(hours) as {{ dbt.type_numeric() }}), 2) as {{ litmos.type_double() }}) as hours,
        count(*) as modules,
        count(*) - count(hours) as modules_without_time,
        count(case when is_completed then 1 end) as modules_completed
    from timed
    group by account, user_id, month

)

select
    {{ litmos.key(
        ['months.user_id', 'cast(months.month as ' ~ dbt.type_string() ~ ')'], 'months.account'
    ) }} as training_id,
    months.account,
    months.user_id,
    person.full_name,
    months.month,
    coalesce(months.hours, 0) as hours,
    months.modules,
    months.modules_without_time,
    months.modules_completed
from months
left join {{ ref('int_litmos__people') }} as person
    on person.user_id = months.user_id{{ litmos.same_account('person', 'months') }}
