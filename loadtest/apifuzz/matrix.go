package apifuzz

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/insighthub/insighthub/docs"
)

// Outcomes of an operation for a caller.
const (
	served    = "served"
	noToken   = "401"
	forbidden = "403"
	unseen    = "404"
	// refused: the token is not accepted. API Gateway responds with 403 to what the authorizer
	// rejects, and the functions with 401 to what was revoked or has expired since.
	refused = "401 or 403"
)

// expected returns what an operation does for a caller, as the contract says: its x-role,
// and whether its path names a site.
func (o operation) expected(caller string) string {
	if o.role == "none" {
		return served
	}
	switch caller {
	case Nobody:
		return noToken
	case Garbage, Expired, Foreign, OtherStage, Disabled, RevokedGateway:
		return refused
	case GatewayHere, GatewayElsewhere:
		return o.expectedGateway(caller)
	}
	rank := map[string]int{
		ViewerHere: 1, OperatorHere: 2, AdminHere: 3, ViewerElsewhere: 1, AdminElsewhere: 3, AdminEverywhere: 3,
	}[caller]
	need, isRole := map[string]int{"viewer": 1, "operator": 2, "admin": 3}[o.role]
	elsewhere := caller == ViewerElsewhere || caller == AdminElsewhere
	switch {
	case o.role == "platform":
		if caller != AdminEverywhere {
			return forbidden
		}
		return served
	case !isRole: // a gateway's
		return forbidden
	case o.ofSite() && elsewhere:
		return unseen
	case rank < need:
		return forbidden
	default:
		return served
	}
}

func (o operation) expectedGateway(caller string) string {
	switch {
	case o.role == "gateway", o.gateways && caller == GatewayHere:
		return served
	case o.ofSite():
		return unseen
	default:
		return forbidden
	}
}

func (o operation) ofSite() bool { return slices.Contains(o.pathNames, "site") }

// Combination is an operation as a caller in a way.
type Combination struct{ Operation, Caller, Way, Expected, Got string }

// MatrixReport is the result of Matrix.
type MatrixReport struct {
	Operations, Callers int
	// ByWay is the number of combinations of each way.
	ByWay map[string]int
	// Wrong are those with another outcome than the contract's. Leaks are those whose
	// response for what exists differs from that for what does not.
	Wrong, Leaks []Combination
}

// Combinations returns the number of combinations.
func (r MatrixReport) Combinations() (n int) {
	for _, ways := range r.ByWay {
		n += ways
	}
	return n
}

// Print writes the report.
func (r MatrixReport) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%d operations × %d callers: %d combinations, %d wrong, %d leaks\n",
		r.Operations, r.Callers, r.Combinations(), len(r.Wrong), len(r.Leaks))
	for _, name := range slices.Sorted(maps.Keys(r.ByWay)) {
		fmt.Fprintf(w, "  %-16s %d\n", name, r.ByWay[name])
	}
	for _, c := range slices.Concat(r.Wrong, r.Leaks) {
		fmt.Fprintf(w, "%s as %s, %s:\n    want %s\n    got  %s\n", c.Operation, c.Caller, c.Way, c.Expected, c.Got)
	}
}

// Matrix requests every operation as every caller that the Target has.
//
// In the way "role" the request has a parameter that no operation has: whoever may use the
// operation gets 400, and nothing changes. The other ways compare the responses to two
// requests of a caller who may not see the World's site, for what exists there and for what
// exists nowhere: they must be the same to the byte.
func Matrix(ctx context.Context, cfg Config, callers []string) (MatrixReport, error) {
	f, err := newFuzzer(cfg)
	if err != nil {
		return MatrixReport{}, err
	}
	report := MatrixReport{Operations: len(f.contract.operations), Callers: len(callers), ByWay: make(map[string]int)}
	for _, o := range f.contract.operations {
		for _, caller := range callers {
			if err := f.role(ctx, o, caller, &report); err != nil {
				return report, err
			}
			if err := f.leaks(ctx, o, caller, &report); err != nil {
				return report, err
			}
		}
	}
	return report, nil
}

// plain returns a valid request of an operation.
func (f *fuzzer) plain(o operation, w World, caller string) Request {
	s := &sampler{contract: f.contract, world: w, now: f.Now()}
	d := &draft{o: o, method: o.method, values: make(map[string]string), headers: make(map[string]string), caller: caller}
	for _, name := range o.pathNames {
		d.values[name] = w.path(name)
	}
	d.query = s.queryOf(o, func() bool { return false })
	for _, name := range []string{"from", "to"} { // the default is the present
		if p, ok := o.query[name]; ok {
			d.query = append(d.query, [2]string{name, fmt.Sprint(s.value(o.id, name, p.schema, p.example))})
		}
	}
	if _, ok := o.headers["If-Match"]; ok {
		d.headers["If-Match"] = "*"
	}
	if o.body != nil {
		d.members, d.headers["Content-Type"] = s.body(o), "application/json"
		if o.form {
			d.headers["Content-Type"] = "application/x-www-form-urlencoded"
		}
	}
	return d.request()
}

func (f *fuzzer) role(ctx context.Context, o operation, caller string, report *MatrixReport) error {
	r := f.plain(o, f.World, caller)
	r.Query = "matrix=1"
	got, err := f.Target.Do(ctx, r)
	if err != nil {
		return err
	}
	outcome := outcomeOf(got.Status)
	want := o.expected(caller)
	report.ByWay["role"]++
	if outcome != want && (want != refused || outcome != noToken && outcome != forbidden) {
		report.Wrong = append(report.Wrong, Combination{o.String(), caller, "role", want, fmt.Sprintf("%d %.100s", got.Status, got.Body)})
	}
	return nil
}

// outcomeOf returns the outcome that a status shows: the parameter that nobody knows is 400.
func outcomeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return served
	case http.StatusUnauthorized:
		return noToken
	case http.StatusForbidden:
		return forbidden
	case http.StatusNotFound:
		return unseen
	default:
		return strconv.Itoa(status)
	}
}

// way is one way to what the caller may not see: the same request for what exists and for
// what does not.
type way struct {
	name            string
	exists, missing Request
}

// leaks checks the ways of a caller who may not see the World's site.
func (f *fuzzer) leaks(ctx context.Context, o operation, caller string, report *MatrixReport) error {
	if caller != ViewerElsewhere && caller != AdminElsewhere && caller != GatewayElsewhere {
		return nil
	}
	for _, w := range f.ways(o, caller) {
		exists, err := f.Target.Do(ctx, w.exists)
		if err != nil {
			return err
		}
		missing, err := f.Target.Do(ctx, w.missing)
		if err != nil {
			return err
		}
		report.ByWay[w.name]++
		a, b := visible(exists, f.World), visible(missing, f.World)
		if a != b || w.exists.Method != http.MethodGet && exists.Status < http.StatusBadRequest && strings.HasPrefix(w.name, "path") {
			report.Leaks = append(report.Leaks, Combination{o.String(), caller, w.name, clipTo(b, 300), clipTo(a, 300)})
		}
	}
	return nil
}

// visible is all of a response that a client sees. A name that the request had and the
// response repeats is that of nowhere.
func visible(r Response, w World) string {
	none, body := nowhere(w), string(r.Body)
	for _, name := range [][2]string{
		{w.Gateway, none.Gateway}, {w.Device, none.Device}, {w.Metric, none.Metric}, {w.Rule, none.Rule},
	} {
		body = strings.ReplaceAll(body, `"`+name[0]+`"`, `"`+name[1]+`"`)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		lines = append(lines, name+": "+r.Headers[name])
	}
	return fmt.Sprintf("%d %s %s", r.Status, strings.Join(lines, ", "), body)
}

// nowhere are names that nothing has, as long as those of the World.
func nowhere(w World) World {
	other := func(s string) string {
		if s == "" {
			return ""
		}
		return strings.Repeat("z", len(s))
	}
	return World{
		Site: other(w.Site), Gateway: other(w.Gateway), Device: other(w.Device), Metric: other(w.Metric),
		User: "00000000-0000-4000-8000-00000000000f", Rule: "00000000-0000-4000-8000-00000000000f", Anomaly: "9223372036854775806",
		Key: strings.Repeat("A", 43), Unique: w.Unique,
	}
}

func (f *fuzzer) ways(o operation, caller string) []way {
	if !o.ofSite() {
		return nil
	}
	none, own := nowhere(f.World), f.World
	own.Site = f.World.Elsewhere
	foreign, inside, byID := f.World, f.World, own
	foreign.Site = none.Site
	inside.Gateway, inside.Device, inside.Metric, inside.Rule, inside.Anomaly, inside.Key =
		none.Gateway, none.Device, none.Metric, none.Rule, none.Anomaly, none.Key
	missingID := none
	missingID.Site = own.Site
	ways := []way{
		{"path: site", f.plain(o, f.World, caller), f.plain(o, foreign, caller)},
		{"path: object", f.plain(o, f.World, caller), f.plain(o, inside, caller)},
	}
	// At the caller's own site: what belongs to another one, by its name or id in the path, in
	// the query or in the body.
	if o.path != "/v1/sites/{site}" && !slices.Contains([]string{"registerGateway", "addClientReport"}, o.id) {
		ways = append(ways, way{"reference", f.plain(o, byID, caller), f.plain(o, missingID, caller)})
	}
	if _, ok := o.headers["If-Match"]; ok {
		present, past := f.plain(o, f.World, caller), f.plain(o, f.World, caller)
		present.Headers["If-Match"], past.Headers["If-Match"] = `"1"`, `"999999"`
		ways = append(ways, way{"If-Match", present, past})
	}
	for name := range o.query {
		if name == "gateway" {
			there, absent := f.plain(o, own, caller), f.plain(o, own, caller)
			there.Query, absent.Query = withGateway(there.Query, f.World.Gateway), withGateway(absent.Query, none.Gateway)
			ways = append(ways, way{"filter", there, absent})
		}
		if name == "cursor" {
			there, absent := f.plain(o, own, caller), f.plain(o, own, caller)
			there.Query = join(there.Query, "cursor="+cursorOf(f.World.Site))
			absent.Query = join(absent.Query, "cursor="+cursorOf(none.Site))
			ways = append(ways, way{"cursor", there, absent})
		}
	}
	if _, ok := o.headers["Idempotency-Key"]; ok {
		used, unused := f.plain(o, f.World, caller), f.plain(o, foreign, caller)
		used.Headers["Idempotency-Key"], unused.Headers["Idempotency-Key"] = "fuzz-used", "fuzz-unused"
		ways = append(ways, way{"Idempotency-Key", used, unused})
	}
	return ways
}

func withGateway(query, gateway string) string {
	parts := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return p == "" || strings.HasPrefix(p, "gateway=") })
	return strings.Join(append(parts, "gateway="+url.QueryEscape(gateway)), "&")
}

func join(query, more string) string { return strings.TrimPrefix(query+"&"+more, "&") }

// cursorOf returns a cursor as the API makes it for the gateways of a site.
func cursorOf(site string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("gateways of " + site + "\x00a"))
}

// Table returns the table of callers by operation, as the contract says it, in Markdown.
func Table() (string, error) {
	c, err := parse(docs.OpenAPI)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	columns := []string{
		Nobody, Garbage, ViewerHere, OperatorHere, AdminHere, AdminElsewhere, AdminEverywhere, GatewayHere,
		GatewayElsewhere,
	}
	b.WriteString("| operation | x-role | " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat(" --- |", len(columns)+2) + "\n")
	for _, o := range c.operations {
		cells := []string{"`" + o.String() + "`", o.role}
		for _, caller := range columns {
			cells = append(cells, o.expected(caller))
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String(), nil
}
