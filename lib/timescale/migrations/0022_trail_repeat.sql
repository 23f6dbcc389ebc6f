-- Repetitions of a refresh within its grace are added up, as what else known callers repeat.
INSERT INTO trail_sum_action (action, object, known, every) VALUES ('session.repeat', 'sessions', true, '1 minute');

-- A function with settings of its own is called, not inlined: sealing took six times as long. Those that call
-- these set the search path.
ALTER FUNCTION trail_hash RESET ALL;
ALTER FUNCTION trail_time RESET ALL;
