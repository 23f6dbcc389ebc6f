package hub

import (
	"slices"

	"github.com/insighthub/insighthub/lib/rtc"
)

// generations knows the ICE generations of what one session has described, so that
// candidates of an earlier one are not relayed: the receiver would add them to a newer one,
// whose user name fragment they do not have. The receiving peer keeps candidates that come
// before their description; the service relays in order and holds nothing back.
type generations struct{ all []generation }

type generation struct {
	to         rtc.PeerID
	connection rtc.ConnectionID
	// current are the fragments of the last description, earlier those of the ones before.
	current, earlier []string
}

const (
	// maxGenerations limits the connections that are known; the oldest are forgotten, and
	// their candidates all pass.
	maxGenerations = 64
	maxEarlier     = 8
)

// described records a description.
func (g *generations) described(to rtc.PeerID, connection rtc.ConnectionID, sdp string) {
	ufrags := rtc.Ufrags(sdp)
	entry := generation{to: to, connection: connection}
	if i := g.find(to, connection); i >= 0 {
		entry = g.all[i]
		g.all = slices.Delete(g.all, i, i+1)
	} else if len(g.all) == maxGenerations {
		g.all = slices.Delete(g.all, 0, 1)
	}
	for _, old := range entry.current {
		if !slices.Contains(ufrags, old) {
			entry.earlier = append(entry.earlier, old)
		}
	}
	// A rollback describes an earlier generation a second time.
	entry.earlier = slices.DeleteFunc(entry.earlier, func(old string) bool { return slices.Contains(ufrags, old) })
	if n := len(entry.earlier) - maxEarlier; n > 0 {
		entry.earlier = slices.Delete(entry.earlier, 0, n)
	}
	entry.current = ufrags
	g.all = append(g.all, entry)
}

// stale reports whether a candidate belongs to an earlier generation.
func (g *generations) stale(to rtc.PeerID, connection rtc.ConnectionID, ufrag string) bool {
	i := g.find(to, connection)
	return i >= 0 && ufrag != "" && slices.Contains(g.all[i].earlier, ufrag)
}

// ended forgets a connection.
func (g *generations) ended(to rtc.PeerID, connection rtc.ConnectionID) {
	if i := g.find(to, connection); i >= 0 {
		g.all = slices.Delete(g.all, i, i+1)
	}
}

func (g *generations) find(to rtc.PeerID, connection rtc.ConnectionID) int {
	return slices.IndexFunc(g.all, func(e generation) bool { return e.to == to && e.connection == connection })
}
