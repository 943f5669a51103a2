-- Tables as no target of ours makes them: other case, other types, appended rows, a listing,
-- columns and a table that are missing. The users were loaded at 12:00 UTC, and their
-- date-times shifted to 08:00.
drop schema if exists litmos cascade;
create schema litmos;
create table litmos.users (
    id text, fullname text, active boolean, createddate timestamptz, updateddate timestamptz,
    _sdc_batched_at timestamp, _sdc_deleted_at timestamp
);
insert into litmos.users values
    ('a', 'Old', true, '2025-01-01 00:00Z', null, '2026-03-12', null),
    ('a', 'New', true, '2025-01-01 00:00Z', '2026-03-10 23:30:00-05:00', '2026-03-11', null),
    ('b', 'Last loaded', true, '2025-01-01 00:00Z', '2026-01-01 00:00Z', '2026-03-12', null),
    ('b', 'First loaded', true, '2025-01-01 00:00Z', '2026-01-01 00:00Z', '2026-03-11', null),
    ('c', 'Not listed any more', true, '2025-01-01 00:00Z', null, '2026-03-11', null),
    ('d', 'Joined during the listing', true, '2026-03-12 00:00:01Z', null, '2026-03-12', null),
    ('e', 'Marked by the target', true, '2025-01-01 00:00Z', null, '2026-03-11', '2026-03-12');
alter table litmos.users add column _sdc_sequence bigint;
alter table litmos.users add column _sdc_received_at timestamp;
update litmos.users set _sdc_sequence = 1773230400000, _sdc_received_at = '2026-03-11 08:00';
create table litmos.user_logins (id text, lastlogin timestamp);
insert into litmos.user_logins values ('a', '2026-03-11 00:00'), ('b', '1900-01-01 05:00');
create table litmos.user_ids ("Id" text, "ListedAt" timestamptz);
insert into litmos.user_ids values
    ('a', '2026-03-11 00:00:00Z'), ('b', '2026-03-11 00:00:00Z'), ('c', '2026-03-11 00:00:00Z'),
    ('a', '2026-03-12 00:00:00Z'), ('b', '2026-03-12 00:00:00Z'), ('e', '2026-03-12 00:00:00Z');
create table litmos.course_results (
    "ID" text, "USERID" text, "UPDATEDDATE" text, "COMPLETED" text, "DUEDATE" text,
    "COMPLIANTTILLDATE" text
);
insert into litmos.course_results values
    ('c', 'a', '2026-03-10T23:30:00.250000Z', 'true', '1900-01-01T05:00:00Z',
     '9999-12-31T23:59:59.999Z'),
    ('c', 'a', '2026-03-10T23:30:00Z', 'false', null, null);
