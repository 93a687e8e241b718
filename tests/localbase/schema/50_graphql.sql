-- What a project without the pg_graphql extension answers under /graphql/v1.
create schema graphql_public;
grant usage on schema graphql_public to anon, authenticated, service_role;

create function graphql_public.graphql(
  "operationName" text default null,
  query text default null,
  variables jsonb default null,
  extensions jsonb default null
) returns jsonb language sql stable as $$
  select '{"errors": [{"message": "pg_graphql extension is not enabled."}]}'::jsonb
$$;
