package timescale

import (
	"context"
	_ "embed" // closed.sql
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Role is the login role of a function.
type Role struct {
	// Function is one of Functions, which decides what the role may do.
	Function string
	// Name and Password are for the login.
	Name, Password string
	// Connections limits the role's concurrent connections; 0 is without a limit.
	Connections int
}

// GrantRoles creates the roles that do not exist, and gives each exactly what the tables
// of grants.go say, in this database: what it has beyond them is revoked. The pool is the
// owner's, who must have CREATEROLE. It is idempotent, and one transaction: sessions of the
// roles see all of it or nothing. An error wraps telemetry.ErrInvalid if the role exists
// and is more than a function's.
func GrantRoles(ctx context.Context, pool *Pool, roles []Role) error {
	return pool.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// Two deployments at once would fail on each other's changes.
			if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = '10min'"); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
				return err
			}
			var database string
			if err := tx.QueryRow(ctx, "SELECT current_database()").Scan(&database); err != nil {
				return err
			}
			g := granter{tx: tx, database: database}
			if err := g.closePublic(ctx); err != nil {
				return fmt.Errorf("revoke from PUBLIC: %w", err)
			}
			for _, r := range roles {
				if err := g.grant(ctx, r); err != nil {
					return fmt.Errorf("role %s of function %s: %w", r.Name, r.Function, err)
				}
			}
			return nil
		})
	})
}

// granter executes GRANT and REVOKE, which take no parameters: names are quoted here.
type granter struct {
	tx       pgx.Tx
	database string
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func (g granter) exec(ctx context.Context, format string, args ...any) error {
	statement := fmt.Sprintf(format, args...)
	// Several statements: the simple protocol.
	if _, err := g.tx.Conn().PgConn().Exec(ctx, statement).ReadAll(); err != nil {
		return err
	}
	return nil
}

// closePublic takes from everybody what PostgreSQL gives to everybody.
func (g granter) closePublic(ctx context.Context) error {
	err := g.exec(ctx, `REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE CONNECT, TEMPORARY ON DATABASE %s FROM PUBLIC`, quoted(g.database))
	if err != nil {
		return hint(err, "the owner of the tables must own the database and its schema public")
	}
	for function := range functionGrants() {
		if builtIn(function) {
			continue
		}
		if err := g.exec(ctx, `REVOKE ALL ON FUNCTION %s FROM PUBLIC`, function); err != nil {
			return err
		}
	}
	// PostgreSQL's own functions with which anybody could fill the disk or hold the platform's
	// locks. Only a superuser can close them: the database's machine does (timescale.sh).
	var superuser bool
	if err := g.tx.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&superuser); err != nil || !superuser {
		return err
	}
	return g.exec(ctx, "%s", closedFunctions)
}

//go:embed closed.sql
var closedFunctions string

// builtIn reports whether a function of functionGrants is PostgreSQL's.
func builtIn(function string) bool { return strings.HasPrefix(function, "pg_catalog.") }

func hint(err error, text string) error {
	if hasState(err, insufficientPrivilege) {
		return fmt.Errorf("%s: %w", text, err)
	}
	return err
}

func (g granter) grant(ctx context.Context, r Role) error {
	if !slices.Contains(Functions(), r.Function) {
		return fmt.Errorf("%w: no grants for function %q", telemetry.ErrInvalid, r.Function)
	}
	if err := g.ensure(ctx, r); err != nil {
		return err
	}
	role := quoted(r.Name)
	err := g.exec(ctx, `GRANT CONNECT ON DATABASE %s TO %s; GRANT USAGE ON SCHEMA public TO %s`, quoted(g.database), role, role)
	if err != nil {
		return err
	}
	for name, value := range roleSettings(r.Function) {
		if name != "search_path" { // a list of names, not one text
			value = literal(value)
		}
		if err := g.exec(ctx, `ALTER ROLE %s IN DATABASE %s SET %s = %s`, role, quoted(g.database), name, value); err != nil {
			return err
		}
	}
	if err := g.tables(ctx, r); err != nil {
		return err
	}
	for function, of := range functionGrants() {
		verb, preposition := "REVOKE", "FROM"
		if slices.Contains(of, r.Function) {
			verb, preposition = "GRANT", "TO"
		}
		if err := g.exec(ctx, `%s EXECUTE ON FUNCTION %s %s %s`, verb, function, preposition, role); err != nil {
			return err
		}
	}
	return nil
}

// ensure creates the role, and sets its password and limit.
func (g granter) ensure(ctx context.Context, r Role) error {
	if r.Name == "" || r.Password == "" {
		return fmt.Errorf("%w: the role has no name or no password", telemetry.ErrInvalid)
	}
	var exists, powerful bool
	err := g.tx.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_or(
			rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolname = current_user
			OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)
			OR EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid)), false)
		FROM pg_roles WHERE rolname = $1`, r.Name).Scan(&exists, &powerful)
	switch {
	case err != nil:
		return err
	case powerful:
		return fmt.Errorf("%w: the role exists, and is the owner of tables, a member of another role, or more than a plain login role: "+
			"remove those rights or name another role in the secret", telemetry.ErrInvalid)
	case !exists:
		if err := g.exec(ctx, `CREATE ROLE %s LOGIN NOINHERIT`, quoted(r.Name)); err != nil {
			return hint(err, "the owner of the tables may not create roles: run ALTER ROLE … CREATEROLE as an administrator")
		}
	}
	verifier, err := scramVerifier(r.Password)
	if err != nil {
		return fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	}
	limit := r.Connections
	if limit == 0 {
		limit = -1
	}
	err = g.exec(ctx, `ALTER ROLE %s LOGIN PASSWORD %s CONNECTION LIMIT %d`, quoted(r.Name), literal(verifier), limit)
	return hint(err, "the owner of the tables may not change the role: as an administrator run GRANT "+r.Name+
		" TO the owner WITH ADMIN OPTION")
}

// tables grants what is missing and revokes what is too much. Only differences are
// executed: each statement on a hypertable changes all of its chunks.
func (g granter) tables(ctx context.Context, r Role) error {
	want, err := privilegesOf(r.Function)
	if err != nil {
		return err
	}
	have, err := g.have(ctx, r.Name)
	if err != nil {
		return err
	}
	var statements []string
	for _, p := range have {
		if !slices.Contains(want, p) {
			statements = append(statements, fmt.Sprintf("REVOKE %s FROM %s", p.on(), quoted(r.Name)))
		}
	}
	for _, p := range want {
		if !slices.Contains(have, p) {
			statements = append(statements, fmt.Sprintf("GRANT %s TO %s", p.on(), quoted(r.Name)))
		}
	}
	return g.exec(ctx, "%s", strings.Join(statements, ";"))
}

// have returns the privileges that a role was granted, for tables, views and sequences.
func (g granter) have(ctx context.Context, role string) ([]privilege, error) {
	rows, err := g.tx.Query(ctx, `
		SELECT c.relname, '', a.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
		WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = quote_ident($1)::regrole
		UNION ALL
		SELECT c.relname, t.attname, a.privilege_type FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
			CROSS JOIN LATERAL aclexplode(t.attacl) a
		WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = quote_ident($1)::regrole`, role)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p privilege, err error) {
		err = row.Scan(&p.table, &p.column, &p.kind)
		return p, err
	})
}
