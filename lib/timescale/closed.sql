DO $closed$
DECLARE
	closed regprocedure;
BEGIN
	FOR closed IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
		AND proname ~ '^(lo_.*|lowrite|loread|pg_(try_)?advisory_.*|pg_logical_emit_message)$'
	LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', closed);
	END LOOP;
END
$closed$;
