package timescale

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

var update = flag.Bool("update", false, "write the table of grants to the document")

// granted creates the roles of all functions in a new database, and returns them with the
// owner's pool.
func granted(tb testing.TB, flavour Flavour) (owner *Pool, roles map[string]Role) {
	tb.Helper()
	dsn := pgtest.NewDatabase(tb)
	owner = openPool(tb, dsn)
	if _, err := Migrate(tb.Context(), owner, flavour); err != nil {
		tb.Fatal(err)
	}
	roles = make(map[string]Role)
	var all []Role
	for _, function := range Functions() {
		r := Role{Function: function, Name: "test_" + strings.ToLower(rand.Text()) + "_" + function, Password: rand.Text(), Connections: 3}
		roles[function] = r
		all = append(all, r)
	}
	tb.Cleanup(func() {
		for _, r := range all {
			pgtest.Exec(tb, dsn, `DROP OWNED BY "`+r.Name+`"; DROP ROLE "`+r.Name+`"`)
		}
	})
	if err := GrantRoles(tb.Context(), owner, all); err != nil {
		tb.Fatal(err)
	}
	return owner, roles
}

// loggedIn returns a connection of a role.
func loggedIn(tb testing.TB, owner *Pool, r Role) *pgx.Conn {
	tb.Helper()
	config, err := pgx.ParseConfig(owner.config.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	config.User, config.Password = r.Name, r.Password
	conn, err := pgx.ConnectConfig(tb.Context(), config)
	if err != nil {
		tb.Fatalf("log in as %s: %v", r.Function, err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(tb.Context())) })
	return conn
}

// relation is a table or view, and its columns.
type relation struct {
	name    string
	columns []string
}

func relations(tb testing.TB, owner *Pool) []relation {
	tb.Helper()
	rows, err := owner.pgx.Query(tb.Context(), `SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY 1 ORDER BY 1`)
	if err != nil {
		tb.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r relation, err error) {
		err = row.Scan(&r.name, &r.columns)
		return r, err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// TestGrantsAreComplete: each table of the migrations has a line in grants.go.
func TestGrantsAreComplete(t *testing.T) {
	var names, lines []string
	for _, r := range relations(t, migrated(t, FlavourPlain)) {
		names = append(names, r.name)
	}
	for table := range tableGrants() {
		lines = append(lines, table)
	}
	slices.Sort(lines)
	if diff := cmp.Diff(names, lines); diff != "" {
		t.Errorf("tables (-) and lines in grants.go (+):\n%s", diff)
	}
}

// TestOwnersFunctionsAreComplete: each function that runs with the rights of the owner has a
// line in grants.go, a fixed search path, and is closed to PUBLIC.
func TestOwnersFunctionsAreComplete(t *testing.T) {
	owner, _ := granted(t, FlavourPlain)
	rows, err := owner.pgx.Query(t.Context(), `SELECT format('%s(%s)', proname, pg_get_function_identity_arguments(p.oid)),
			coalesce(array_to_string(proconfig, ' '), '') LIKE '%search_path=public, pg_temp%',
			EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0)
		FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND prosecdef
			AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var name string
	var path, public bool
	_, err = pgx.ForEachRow(rows, []any{&name, &path, &public}, func() error {
		if !path || public {
			t.Errorf("%s: fixed search path %v, PUBLIC may execute it %v", name, path, public)
		}
		name, _, _ = strings.Cut(name, "(") // the names of arguments are not a part of the line
		names = append(names, name)
		return nil
	})
	var lines []string
	for signature := range functionGrants() {
		line, _, _ := strings.Cut(signature, "(")
		if !builtIn(line) {
			lines = append(lines, strings.TrimPrefix(line, "public."))
		}
	}
	slices.Sort(lines)
	if diff := cmp.Diff(lines, names); err != nil || diff != "" {
		t.Errorf("%v, lines in grants.go (-) and functions (+):\n%s", err, diff)
	}
}

// TestRolesMayDoWhatIsWanted logs in as each role and tries each privilege for each table,
// and for each column: exactly what grants.go says is permitted.
func TestRolesMayDoWhatIsWanted(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			owner, roles := granted(t, flavour)
			all := relations(t, owner)
			for _, function := range Functions() {
				want, err := privilegesOf(function)
				if err != nil {
					t.Fatal(err)
				}
				wanted := func(table, kind string, columns ...string) bool {
					return slices.Contains(want, privilege{table: table, kind: kind}) ||
						slices.ContainsFunc(columns, func(c string) bool { return slices.Contains(want, privilege{table, c, kind}) })
				}
				conn := loggedIn(t, owner, roles[function])
				try := func(want bool, format string, args ...any) {
					t.Helper()
					statement := fmt.Sprintf(format, args...)
					_, err := conn.Exec(t.Context(), "EXPLAIN "+statement) // permissions are checked, nothing is executed
					if hasState(err, "42601") {                            // not a statement that EXPLAIN knows
						var tx pgx.Tx
						if tx, err = conn.Begin(t.Context()); err == nil {
							_, err = tx.Exec(t.Context(), statement)
							_ = tx.Rollback(t.Context())
						}
					}
					if denied := hasState(err, insufficientPrivilege); denied == want {
						t.Errorf("%s: %s: got %v, want permitted %v", function, statement, err, want)
					}
				}
				for _, r := range all {
					for _, c := range r.columns {
						try(wanted(r.name, "SELECT", c), "SELECT %s FROM %s", c, r.name)
						if r.name != "reading" {
							try(wanted(r.name, "UPDATE", c), "UPDATE %[1]s SET %[2]s = DEFAULT", r.name, c)
						}
					}
					try(wanted(r.name, "SELECT", r.columns...), "SELECT FROM %s", r.name)
					if r.name != "reading" {
						try(wanted(r.name, "INSERT"), "INSERT INTO %s DEFAULT VALUES", r.name)
						try(wanted(r.name, "DELETE"), "DELETE FROM %s", r.name)
						try(false, "TRUNCATE %s", r.name)
						try(false, "CREATE INDEX ON %s (%s)", r.name, r.columns[0])
						try(false, "ALTER TABLE %s DISABLE TRIGGER ALL", r.name)
						try(false, "DROP TABLE %s CASCADE", r.name)
					}
				}
				for _, statement := range []string{
					"CREATE TABLE public.mine (x int)", "CREATE TEMPORARY TABLE mine (x int)", "CREATE SCHEMA mine",
					"CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
					"ALTER FUNCTION trail_is_append_only() OWNER TO CURRENT_USER",
					"CREATE ROLE mine", "ALTER ROLE " + quoted(roles[FunctionAPI].Name) + " SUPERUSER",
					"SET ROLE postgres", "SET session_replication_role = replica", "COPY (SELECT 1) TO PROGRAM 'true'",
					"SELECT lo_create(0)", "SELECT lo_from_bytea(0, '')", "SELECT lo_put(1, 0, '')",
					"SELECT pg_advisory_lock(500135192940)",
					"SELECT pg_try_advisory_lock(1)", "SELECT pg_logical_emit_message(false, '', '')",
					"SELECT pg_read_file('PG_VERSION')", "SELECT passwd FROM pg_shadow",
				} {
					try(false, "%s", statement)
				}
				for signature, of := range functionGrants() {
					name, _, _ := strings.Cut(strings.TrimPrefix(signature, "public."), "(")
					try(slices.Contains(of, function), "SELECT %s", map[string]string{
						"pg_catalog.pg_advisory_xact_lock":     "pg_advisory_xact_lock(1)",
						"pg_catalog.pg_try_advisory_xact_lock": "pg_try_advisory_xact_lock(1)",
						"retention_drop_chunks":                "retention_drop_chunks('event', '-infinity')",
						"retention_set_policy":                 "retention_set_policy('event', 0, false)",
						"trail_forget_deliveries":              "trail_forget_deliveries()", "trail_seal": "trail_seal(1)",
						"trail_archived": "trail_archived(1, 1, '', 'x')",
					}[name])
				}
				for _, call := range []string{"retention_drop_chunks('trail', now())", "retention_set_policy('trail', 1, false)"} {
					if _, err := conn.Exec(t.Context(), "SELECT "+call); !hasState(err, insufficientPrivilege) {
						t.Errorf("%s: %s: got %v, want it denied", function, call, err)
					}
				}
			}
		})
	}
}

// TestTrailIsAppendOnly: neither the functions' roles nor the owner change an entry.
func TestTrailIsAppendOnly(t *testing.T) {
	owner, roles := granted(t, FlavourDetect)
	for _, function := range Functions() {
		conn := loggedIn(t, owner, roles[function])
		for _, statement := range []string{"UPDATE trail SET actor = 'x'", "DELETE FROM trail", "TRUNCATE trail"} {
			if _, err := conn.Exec(t.Context(), statement); !hasState(err, insufficientPrivilege) {
				t.Errorf("%s: %s: got %v, want it denied", function, statement, err)
			}
		}
	}
	for _, statement := range []string{"UPDATE trail SET actor = 'x'", "DELETE FROM trail", "TRUNCATE trail"} {
		if _, err := owner.pgx.Exec(t.Context(), statement); !hasState(err, insufficientPrivilege) {
			t.Errorf("owner: %s: got %v, want it denied by the trigger", statement, err)
		}
	}
}

// TestRoleSettings: a session gets the role's limits and search path.
func TestRoleSettings(t *testing.T) {
	owner, roles := granted(t, FlavourDetect)
	conn := loggedIn(t, owner, roles[FunctionAccess])
	for name, want := range map[string]string{
		"search_path": "public, pg_temp", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "1min", "lock_timeout": "10s",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	for range 2 {
		loggedIn(t, owner, roles[FunctionAccess])
	}
	config := conn.Config().Copy()
	if _, err := pgx.ConnectConfig(t.Context(), config); !errors.Is(classify(err), telemetry.ErrUnavailable) {
		t.Errorf("a fourth connection: got %v, want it rejected as unavailable", err)
	}
}

// TestGrantRolesConverges: a repetition changes nothing, and revokes what somebody added.
func TestGrantRolesConverges(t *testing.T) {
	owner, roles := granted(t, FlavourDetect)
	store := roles[FunctionStore]
	acl := func() string {
		return query[string](t, owner, `SELECT string_agg(relname || coalesce(relacl::text, ''), ' ' ORDER BY relname)
			|| (SELECT string_agg(attname || attacl::text, ' ' ORDER BY attrelid, attnum) FROM pg_attribute WHERE attacl IS NOT NULL)
			FROM pg_class WHERE relnamespace = 'public'::regnamespace`)
	}
	before := acl()
	execute(t, owner, `GRANT SELECT (password) ON account TO `+quoted(store.Name))
	execute(t, owner, `GRANT DELETE, TRUNCATE ON event TO `+quoted(store.Name))
	execute(t, owner, `REVOKE INSERT ON event FROM `+quoted(store.Name))
	store.Password = "another password"
	if err := GrantRoles(t.Context(), owner, []Role{store}); err != nil {
		t.Fatal(err)
	}
	var have []privilege
	err := pgx.BeginFunc(t.Context(), owner.pgx, func(tx pgx.Tx) (err error) {
		have, err = granter{tx: tx}.have(t.Context(), store.Name)
		return err
	})
	want, _ := privilegesOf(FunctionStore)
	sorted := func(all []privilege) []string {
		var texts []string
		for _, p := range all {
			texts = append(texts, p.on())
		}
		slices.Sort(texts)
		return texts
	}
	if diff := cmp.Diff(sorted(want), sorted(have)); err != nil || diff != "" {
		t.Errorf("%v, privileges:\n%s\nbefore: %s", err, diff, before)
	}
	loggedIn(t, owner, store) // with the new password
	// Roles that are more than a function's are not touched.
	for what, right := range map[string]string{"may create databases": "CREATEDB", "may create roles": "CREATEROLE"} {
		execute(t, owner, "ALTER ROLE "+quoted(store.Name)+" "+right)
		if err := GrantRoles(t.Context(), owner, []Role{store}); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("a role that %s: got %v, want ErrInvalid", what, err)
		}
		execute(t, owner, "ALTER ROLE "+quoted(store.Name)+" NO"+right)
	}
	for what, r := range map[string]Role{
		"no name": {Function: FunctionStore, Password: "p"}, "no password": {Function: FunctionStore, Name: "n"},
		"other function": {Function: "clock", Name: "n", Password: "p"},
		"password":       {Function: FunctionStore, Name: store.Name, Password: "pässword"},
		"the owner":      {Function: FunctionStore, Name: query[string](t, owner, "SELECT current_user"), Password: "p"},
	} {
		if err := GrantRoles(t.Context(), owner, []Role{r}); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
}

// TestScram compares with a verifier of PostgreSQL's own tests (authentication/t/001_password.pl).
func TestScram(t *testing.T) {
	got, err := scramOf("pencil", []byte("W22ZaJ0SNY7soEsU"), 4096)
	if err != nil || !strings.HasPrefix(got, "SCRAM-SHA-256$4096:VzIyWmFKMFNOWTdzb0VzVQ==$") {
		t.Fatalf("got %q, %v", got, err)
	}
}

const grantsDocument = "../../docs/DATABASE_ROLES.md"

// TestGrantsDocument: the document has the table of grants; -update writes it.
func TestGrantsDocument(t *testing.T) {
	const begin, end = "<!-- grants: begin -->\n", "<!-- grants: end -->"
	raw, err := os.ReadFile(grantsDocument)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(raw), begin)
	_, tail, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatalf("%s has no lines %q and %q", grantsDocument, begin, end)
	}
	want := head + begin + grantsTable() + end + tail
	if want == string(raw) {
		return
	}
	if !*update {
		t.Fatalf("%s is not that of grants.go; go test ./lib/timescale -run TestGrantsDocument -update writes it", grantsDocument)
	}
	if err := os.WriteFile(grantsDocument, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func grantsTable() string {
	var b strings.Builder
	functions := Functions()
	fmt.Fprintf(&b, "| table | %s |\n|%s\n", strings.Join(functions, " | "), strings.Repeat(" --- |", len(functions)+1))
	tables := make([]string, 0, len(tableGrants()))
	for table := range tableGrants() {
		tables = append(tables, table)
	}
	slices.Sort(tables)
	for _, table := range tables {
		fmt.Fprintf(&b, "| `%s` |", table)
		for _, function := range functions {
			text := tableGrants()[table][function]
			if text == "" {
				text = "–"
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestGrantRolesAsDeployed: the owner of a deployed database is no superuser. With CREATEROLE
// the roles are created, and work; without, the error says what to do.
func TestGrantRolesAsDeployed(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.NewDatabase(t)
			database := quoted(openPool(t, dsn).pgx.Config().ConnConfig.Database)
			name := "test_" + strings.ToLower(rand.Text())
			function := Role{Function: FunctionRollup, Name: name + "_rollup", Password: rand.Text()}
			pgtest.Exec(t, dsn, `CREATE ROLE `+name+` LOGIN PASSWORD 'owner'; ALTER DATABASE `+database+` OWNER TO `+name)
			if flavour == FlavourTimescale {
				pgtest.Exec(t, dsn, `CREATE EXTENSION IF NOT EXISTS timescaledb`)
			}
			t.Cleanup(func() {
				pgtest.Exec(t, dsn, `ALTER DATABASE `+database+` OWNER TO CURRENT_USER; DROP OWNED BY `+name+` CASCADE; DROP ROLE `+name)
			})
			pgtest.Exec(t, dsn, closedFunctions)
			pgtest.Exec(t, dsn, `DO $$ DECLARE f regprocedure; BEGIN
				FOR f IN SELECT oid FROM pg_proc WHERE proname ~ '^pg_(try_)?advisory_' LOOP
					EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO `+name+` WITH GRANT OPTION', f);
				END LOOP; END $$`)
			u, err := url.Parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword(name, "owner")
			owner := openPool(t, u.String())
			if _, err := Migrate(t.Context(), owner, flavour); err != nil {
				t.Fatal(err)
			}
			if err := GrantRoles(t.Context(), owner, []Role{function}); err == nil || !strings.Contains(err.Error(), "CREATEROLE") {
				t.Errorf("without CREATEROLE: got %v, want an error that names it", err)
			}
			pgtest.Exec(t, dsn, `ALTER ROLE `+name+` CREATEROLE`)
			t.Cleanup(func() {
				// DROP OWNED leaves what another role than the object's owner granted.
				pgtest.Exec(t, dsn, `REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pg_catalog FROM `+name+` CASCADE;
					DROP OWNED BY `+function.Name+`; DROP ROLE `+function.Name)
			})
			for range 2 {
				if err := GrantRoles(t.Context(), owner, []Role{function}); err != nil {
					t.Fatal(err)
				}
			}
			u.User = url.UserPassword(function.Name, function.Password)
			rollup := openPool(t, u.String())
			if _, err := rollup.RefreshRollup(t.Context()); err != nil {
				t.Error(err)
			}
			execute(t, owner, `INSERT INTO event (time, device_id, metric_id, value, quality)
				VALUES (now() - interval '200 days', 1, 1, 1, 0)`)
			execute(t, owner, "INSERT INTO series VALUES (1, 1)")
			execute(t, owner, "UPDATE rollup_watermark SET hour_watermark = now()")
			done, err := rollup.ApplyRetention(t.Context(), Retention{EventDays: 90, MinuteDays: 90, HourDays: 90})
			if err != nil || done.Dropped != 1 {
				t.Errorf("got %+v, %v, want one chunk or row dropped", done, err)
			}
		})
	}
}
