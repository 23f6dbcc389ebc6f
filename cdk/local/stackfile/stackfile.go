// Package stackfile reads and writes stack.json, the file in which a running local
// stack publishes its addresses.
//
// It knows none of the emulators, so that the load tests and the self-check can import it.
package stackfile

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/atomicfile"
	awsconfig "github.com/insighthub/insighthub/lib/aws/config"
	"github.com/insighthub/insighthub/lib/aws/kms"
	"github.com/insighthub/insighthub/lib/token"
)

// Name of the file in the state folder.
const Name = "stack.json"

// ErrNotRunning says that the state folder has no stack.json.
var ErrNotRunning = errors.New("no stack is running; make run starts one")

// Info is the content of stack.json. It holds secrets: only its owner can read it.
type Info struct {
	HTTP     string `json:"http"`     // URL of the API
	Database string `json:"database"` // DSN
	Kinesis  string `json:"kinesis"`  // URL
	Stream   string `json:"stream"`   // name
	// Objects is the URL of the S3 emulator. Buckets holds the names of the buckets by
	// the functions' environment variables, such as FAILURE_BUCKET.
	Objects    string            `json:"objects,omitempty"`
	Buckets    map[string]string `json:"buckets,omitempty"`
	Prometheus string            `json:"prometheus,omitempty"` // URL; empty where the stage has no workspace
	// Signaling is the WebSocket URL of the signaling service, Turn the URIs of the TURN server,
	// Redis the URL of the server over which signaling's tasks relay, and Live the URL of the page
	// of the live path; each is empty where the stage has none.
	Signaling string   `json:"signaling,omitempty"`
	Turn      []string `json:"turn,omitempty"`
	Redis     string   `json:"redis,omitempty"`
	Live      string   `json:"live,omitempty"`
	// KMS is the URL of the KMS emulator, SigningKey the ARN of the key in it that signs
	// tokens, with the issuer and the audience that these tokens name.
	KMS        string `json:"kms,omitempty"`
	SigningKey string `json:"signing_key,omitempty"`
	Issuer     string `json:"issuer,omitempty"`
	Audience   string `json:"audience,omitempty"`
	// AdminName and AdminPassword are those of the first account, whose password may
	// have been changed since.
	AdminName     string `json:"admin_name,omitempty"`
	AdminPassword string `json:"admin_password,omitempty"`
	PIDs          PIDs   `json:"pids"`
	Logs          string `json:"logs"` // folder
}

// PIDs are the process ids of the parts of a stack; 0 where a part does not run.
type PIDs struct {
	Local, Postgres, Prometheus int
	Signaling, Coturn, Redis    int
	Functions                   map[string][]int // by program, such as "store"
}

// Keys of the single processes in the object of process ids. The others are functions'.
const (
	localKey      = "local"
	postgresKey   = "postgres"
	prometheusKey = "prometheus"
	signalingKey  = "signaling"
	coturnKey     = "coturn"
	redisKey      = "redis"
)

// servers returns the single processes by their keys.
func (p *PIDs) servers() map[string]*int {
	return map[string]*int{
		localKey: &p.Local, postgresKey: &p.Postgres, prometheusKey: &p.Prometheus,
		signalingKey: &p.Signaling, coturnKey: &p.Coturn, redisKey: &p.Redis,
	}
}

// MarshalJSON writes one object: a number for each server, a list for each function.
func (p PIDs) MarshalJSON() ([]byte, error) {
	object := make(map[string]any)
	for program, pids := range p.Functions {
		object[program] = pids
	}
	for key, pid := range p.servers() {
		if *pid != 0 {
			object[key] = *pid
		}
	}
	return json.Marshal(object)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *PIDs) UnmarshalJSON(raw []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	*p = PIDs{}
	servers := p.servers()
	for key, value := range object {
		if pid, ok := servers[key]; ok {
			if err := json.Unmarshal(value, pid); err != nil {
				return fmt.Errorf("pids.%s: %w", key, err)
			}
			continue
		}
		var pids []int
		if err := json.Unmarshal(value, &pids); err != nil {
			return fmt.Errorf("pids.%s: %w", key, err)
		}
		if p.Functions == nil {
			p.Functions = make(map[string][]int)
		}
		p.Functions[key] = pids
	}
	return nil
}

// Read returns the addresses of the stack that runs on a state folder. The error wraps
// ErrNotRunning if none does. A stack that was killed leaves its file behind.
func Read(state string) (Info, error) {
	path := filepath.Join(state, Name)
	var info Info
	raw, err := os.ReadFile(path) //nolint:gosec // the user's own folder
	if errors.Is(err, fs.ErrNotExist) {
		return info, fmt.Errorf("%s: %w", path, ErrNotRunning)
	}
	if err == nil {
		err = json.Unmarshal(raw, &info)
	}
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// Write replaces the file of a state folder.
func Write(state string, info Info) error {
	return atomicfile.WriteJSON(filepath.Join(state, Name), info)
}

// Getenv returns the value of an environment variable as the stack's functions have it:
// for AWS clients, and for the functions' own settings where stack.json has them.
func (i Info) Getenv(name string) string {
	switch name {
	case "API_URL":
		return i.HTTP
	case "PROMETHEUS_URL":
		return i.Prometheus
	case "TOKEN_ISSUER":
		return i.Issuer
	case "TOKEN_AUDIENCE":
		return i.Audience
	case "SIGNING_KEYS":
		if i.SigningKey == "" {
			return ""
		}
		return fmt.Sprintf(`[{"key":%q}]`, i.SigningKey)
	case "AWS_REGION":
		if parts := strings.Split(i.SigningKey, ":"); len(parts) > 3 { // arn:aws:kms:region:…
			return parts[3]
		}
		return ""
	case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY":
		return "local"
	case "AWS_ENDPOINT_URL_KMS":
		return i.KMS
	case "AWS_ENDPOINT_URL_S3":
		return i.Objects
	case "AWS_S3_PATH_STYLE":
		return "true"
	default:
		return i.Buckets[name]
	}
}

// Minter returns one that signs tokens with the stack's own key: test benches use it
// in place of the registration of gateways and the token endpoint.
func (i Info) Minter(now func() time.Time) (*token.Minter, error) {
	if i.KMS == "" || i.SigningKey == "" {
		return nil, fmt.Errorf("%s has no key to sign tokens with", Name)
	}
	aws, err := awsconfig.Load(i.Getenv)
	if err != nil {
		return nil, err
	}
	return token.NewMinter(token.MinterConfig{
		Signer: kms.New(aws), Key: i.SigningKey, Issuer: i.Issuer, Audience: i.Audience, Now: now, Random: rand.Reader,
	})
}
