package relay

import (
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/insighthub/insighthub/lib/rtc"
)

// kind is what an operation does to a member of a room's hash. The script has the conditions.
type kind string

const (
	// enter sets the member.
	enter kind = "e"
	// heal sets the member again, unless another task has it since a later time.
	heal kind = "h"
	// lose sets the member if it is this task's.
	lose kind = "l"
	// exit removes the member if it is this task's.
	exit kind = "d"
	// expire removes the member if it is that of the task in value.
	expire kind = "x"
	// read only reads; it is not sent.
	read kind = ""
)

type operation struct {
	kind  kind
	id    rtc.PeerID
	value string
}

// result is what the script returns.
type result struct {
	// version is that of the hash after the operations.
	version int64
	// applied says which of the operations changed something: each raised the version by one.
	applied []bool
	// snapshot is nil if the caller knew the version before the operations.
	snapshot *snapshot
}

func (r result) count() (n int) {
	for _, applied := range r.applied {
		if applied {
			n++
		}
	}
	return n
}

const (
	versionField = "#"
	createdField = "@"
)

// script applies operations to the hash of a room.
//
//	KEYS: the hash
//	ARGV: task, version that the caller knows (-1: none, it wants the hash), milliseconds until the hash expires,
//	      then kind, id and value of each operation
//	returns: version, applied (0 or 1 for each operation), fields and values of the hash or empty
//
// A hash begins with the time of the server in µs as its version: one that is created again
// has another, and a larger one. Numbers up to 2^53 are exact in Lua.
//
//nolint:gochecknoglobals // constant
var script = redis.NewScript(`
local key, task, known = KEYS[1], ARGV[1], tonumber(ARGV[2])
local version = tonumber(redis.call('HGET', key, '#') or '0')
local first = version
local applied = {}
local function bump()
  if version == 0 then
    local now = redis.call('TIME')
    version = now[1] * 1000000 + now[2]
    first = version
    redis.call('HSET', key, '@', string.format('%.0f', version))
  end
  version = version + 1
end
for i = 4, #ARGV, 3 do
  local kind, id, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local now = redis.call('HGET', key, id)
  local owner, since
  if now then owner, since = string.match(now, '^([^|]*)|(%d+)|') end
  local write, remove = false, false
  if kind == 'e' then
    write = true
  elseif kind == 'h' then
    local mine = string.match(value, '^[^|]*|(%d+)|')
    write = now ~= value and (not now or owner == task or tonumber(since or '0') <= tonumber(mine))
  elseif kind == 'l' then
    write = owner == task
  elseif kind == 'd' then
    remove = owner == task
  elseif kind == 'x' then
    remove = owner == value
  end
  if write or remove then bump() end
  if write then redis.call('HSET', key, id, value) end
  if remove then redis.call('HDEL', key, id) end
  applied[#applied + 1] = (write or remove) and 1 or 0
end
if version ~= first then redis.call('HSET', key, '#', string.format('%.0f', version)) end
local all = {}
if first ~= known then all = redis.call('HGETALL', key) end
if redis.call('HLEN', key) <= 2 then
  redis.call('DEL', key)
else
  redis.call('PEXPIRE', key, ARGV[3])
end
return {string.format('%.0f', version), applied, all}
`)

// arguments returns ARGV.
func arguments(task string, known, expireMS int64, ops []operation) []any {
	out := append(make([]any, 0, 3+3*len(ops)), task, known, expireMS)
	for _, op := range ops {
		out = append(out, string(op.kind), string(op.id), op.value)
	}
	return out
}

// decodeResult reads what the script returns. skip is called with what another version of
// the service may have written into the hash.
func decodeResult(response any, known int64, skip func(error)) (res result, err error) {
	parts, ok := response.([]any)
	if !ok || len(parts) != 3 {
		return result{}, fmt.Errorf("script: got %T of %d parts", response, len(parts))
	}
	text, _ := parts[0].(string)
	applied, okApplied := parts[1].([]any)
	all, okAll := parts[2].([]any)
	if res.version, err = strconv.ParseInt(text, 10, 64); err != nil || !okApplied || !okAll || len(all)%2 != 0 {
		return result{}, fmt.Errorf("script: got version %q, %T and %T", text, parts[1], parts[2])
	}
	for _, a := range applied {
		res.applied = append(res.applied, a == int64(1))
	}
	if len(all) == 0 && res.version-int64(res.count()) == known {
		return res, nil
	}
	res.snapshot = &snapshot{version: res.version, members: map[rtc.PeerID]*member{}}
	for i := 0; i < len(all); i += 2 {
		field, _ := all[i].(string)
		value, _ := all[i+1].(string)
		switch field {
		case versionField:
		case createdField:
			if res.snapshot.created, err = strconv.ParseInt(value, 10, 64); err != nil {
				return result{}, fmt.Errorf("script: field @: %w", err)
			}
		default:
			m, err := decodeMember(rtc.PeerID(field), value)
			if err != nil {
				skip(err)
				continue
			}
			res.snapshot.members[m.ID] = m
		}
	}
	return res, nil
}
