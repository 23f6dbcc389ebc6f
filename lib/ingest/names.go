package ingest

import (
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/telemetry"
)

const maxNameBytes = telemetry.MaxNameBytes

const (
	nameSlots = 512 // a power of two
	// maxInterned bounds the names that are cached between requests: an execution
	// environment serves every gateway.
	maxInterned = 8192
)

// names maps the bytes of a name to its index in the dictionary of a batch. A gateway's
// names are few and are repeated in each batch, so a name is validated and allocated only
// when it is first seen; after that a look-up is one comparison.
type names struct {
	// index adds a name to the batch's dictionary, or finds it there.
	index func(name string) uint32

	round    uint32 // the current batch
	slots    [nameSlots]nameSlot
	interned map[string]string
}

type nameSlot struct {
	name  string
	index uint32
	round uint32 // the batch in whose dictionary name has that index
}

// reset starts a new batch.
func (n *names) reset() {
	if n.round++; n.round == 0 {
		clear(n.slots[:])
		n.round = 1
	}
}

// lookup returns the index of a name, or why the name is not valid.
func (n *names) lookup(name []byte) (uint32, reason) {
	slot := &n.slots[slotOf(name)]
	if slot.name == string(name) && slot.round == n.round {
		return slot.index, accepted
	}
	return n.find(slot, name)
}

func (n *names) find(slot *nameSlot, name []byte) (uint32, reason) {
	if slot.name != string(name) || len(name) == 0 {
		s, ok := n.interned[string(name)]
		if !ok {
			if r := checkName(name); r != accepted {
				return 0, r
			}
			if n.interned == nil || len(n.interned) >= maxInterned {
				n.interned = make(map[string]string)
			}
			s = string(name)
			n.interned[s] = s
		}
		slot.name = s
	}
	slot.index, slot.round = n.index(slot.name), n.round
	return slot.index, accepted
}

// slotOf hashes the first and the last bytes of a name and its length: names
// differ in their ends. Names of the same slot are found in the map.
func slotOf(name []byte) uint64 {
	var h uint64
	if len(name) >= word {
		h = binary.LittleEndian.Uint64(name) ^ binary.LittleEndian.Uint64(name[len(name)-word:])*3
	} else {
		for _, c := range name {
			h = h<<8 | uint64(c)
		}
	}
	h = (h ^ uint64(len(name))) * 0x9e3779b97f4a7c15
	return h >> 55 % nameSlots
}

// checkName returns why name is not valid for a device or a metric, or accepted.
func checkName(name []byte) reason {
	switch {
	case len(name) == 0:
		return emptyName
	case !utf8.Valid(name):
		return badUTF8
	case len(name) > maxNameBytes:
		return longName
	}
	for _, r := range string(name) {
		switch {
		case unicode.IsControl(r):
			return controlCharacter
		case r == utf8.RuneError:
			// API Gateway passes a body of JSON on as text and has replaced invalid UTF-8
			// by U+FFFD in it: two names that differ only there would become one.
			return badUTF8
		}
	}
	return accepted
}
