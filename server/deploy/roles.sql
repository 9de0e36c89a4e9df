-- Roles, database and extensions, by the superuser; safe to repeat.
SELECT 'CREATE ROLE ' || name || ' LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'
FROM (VALUES ('zaicun_owner'), ('zaicun_app')) AS wanted (name)
WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) \gexec
SELECT 'CREATE DATABASE zaicun OWNER zaicun_owner'
WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = 'zaicun') \gexec
REVOKE ALL ON DATABASE zaicun FROM PUBLIC;
GRANT CONNECT ON DATABASE zaicun TO zaicun_app;
\connect zaicun
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS btree_gist;
