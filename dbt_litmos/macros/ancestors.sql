{# The id of a manager or parent team; Litmos sends 0 for none. #}
{% macro parent_id(column) -%}
nullif(nullif({{ column }}, '0'), '')
{%- endmacro %}


{#
  A row for each node and each node above it.

  The climb stops at a node it has visited, and after `litmos__max_depth` steps, because Litmos may
  allow circles.

  Args:
    nodes: A relation.
    id: Its column with the id of a node.
    parent: Its column with the id of the node above, null if none.
    name: Its column with the name of a node.
    parent_name: Its column with the name of the node above, in case that node was not loaded.

  Columns: account, node_id, ancestor_id, distance (1: directly above), path (names from the
  ancestor down to the node's parent), is_top (whether nobody is above the ancestor).
#}
{% macro ancestors(nodes, id, parent, name, parent_name=none) %}
{%- set text = dbt.type_string() -%}
with recursive nodes as (

    select
        node.account,
        cast(node.{{ id }} as {{ text }}) as id,
        cast(node.{{ parent }} as {{ text }}) as parent_id,
        cast(
            coalesce(
                above.{{ name }}, {{ 'node.' ~ parent_name ~ ', ' if parent_name }}node.{{ parent }}
            ) as {{ text }}
        ) as parent_name
    from {{ nodes }} as node
    left join {{ nodes }} as above
        on above.{{ id }} = node.{{ parent }}{{ litmos.same_account('above', 'node') }}
    where node.{{ parent }} <> node.{{ id }}

),

{# Redshift wants the columns named; not every other database takes that. -#}
climb {{ '(account, node_id, ancestor_id, distance, path, passed)' if target.type == 'redshift' }} as (

    select
        account,
        id as node_id,
        parent_id as ancestor_id,
        1 as distance,
        parent_name as path,
        cast({{ dbt.concat(["'/'", "id", "'/'", "parent_id", "'/'"]) }} as {{ text }}) as passed
    from nodes

    union all

    select
        climb.account,
        climb.node_id,
        nodes.parent_id as ancestor_id,
        climb.distance + 1 as distance,
        cast({{ dbt.concat(["nodes.parent_name", "' > '", "climb.path"]) }} as {{ text }}) as path,
        cast({{ dbt.concat(["climb.passed", "nodes.parent_id", "'/'"]) }} as {{ text }}) as passed
    from climb
    inner join nodes
        on nodes.id = climb.ancestor_id{{ litmos.same_account('nodes', 'climb') }}
    where climb.distance < {{ var('litmos__max_depth') }}
        and {{ dbt.position(dbt.concat(["'/'", "nodes.parent_id", "'/'"]), 'climb.passed') }} = 0

)

select
    account,
    node_id,
    ancestor_id,
    distance,
    path,
    row_number() over (partition by account, node_id order by distance desc) = 1 as is_top
from climb
{% endmacro %}
