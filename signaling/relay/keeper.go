package relay

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// retryEvery is how often Redis is tried while it cannot be reached.
	retryEvery = 200 * time.Millisecond
	// earlyTimeout is how long a change waits for its predecessors.
	earlyTimeout = 100 * time.Millisecond
)

// openScript creates the inbox anew.
//
//	KEYS: the inbox; ARGV: its name, milliseconds until it expires
//
//nolint:gochecknoglobals // constant
var openScript = redis.NewScript(`
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[1], '*', 'k', 'o', 'b', ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// keeper is the state of the bus's keeper: one goroutine renews the inbox, looks for dead
// tasks, compares versions and repairs rooms.
type keeper struct {
	*bus
	opens   int
	checked time.Time
	renewed time.Time
	// missing has the tasks without an inbox, since when; dead those of them that count as dead.
	missing map[string]time.Time
	dead    map[string]bool
}

func (b *bus) keep() {
	k := &keeper{bus: b, missing: map[string]time.Time{}, dead: map[string]bool{}}
	ticks := time.NewTicker(b.config.Heartbeat)
	defer ticks.Stop()
	for b.ctx.Err() == nil {
		if !b.up.Load() {
			if !k.connect() {
				b.sleep(retryEvery)
				continue
			}
		}
		k.repairAll()
		select {
		case <-b.ctx.Done():
			return
		case <-b.wake:
			continue
		case <-ticks.C:
		}
		k.beat()
		k.checkTasks()
		k.settle()
		k.checkVersions()
	}
}

func (k *keeper) timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(k.ctx, k.config.Timeout)
}

// connect reports whether Redis can be reached again. Then every room is compared.
func (k *keeper) connect() bool {
	ctx, cancel := k.timeout()
	defer cancel()
	if !k.renew(ctx) {
		return false
	}
	// Whoever was missed meanwhile could not be seen.
	clear(k.missing)
	k.up.Store(true)
	k.log.Info("redis can be reached")
	for _, site := range k.relay.sites() {
		k.repairLater(site)
	}
	return true
}

// beat renews the inbox, which is the heartbeat of the task.
func (k *keeper) beat() {
	ctx, cancel := k.timeout()
	defer cancel()
	k.renew(ctx)
}

// renew renews the inbox, or creates it if Redis does not have it, and reports success.
func (k *keeper) renew(ctx context.Context) bool {
	key := inboxKey(k.relay.task)
	there, err := k.client.PExpire(ctx, key, k.config.TaskTTL).Result()
	if err != nil {
		_ = k.failed("renew the inbox", err)
		return false
	}
	if there {
		return true
	}
	k.opens++
	name := strconv.Itoa(k.opens)
	if err := openScript.Run(ctx, k.client, []string{key}, name, k.config.TaskTTL.Milliseconds()).Err(); err != nil {
		_ = k.failed("create the inbox", err)
		return false
	}
	k.opened.Store(name)
	if k.opens > 1 {
		// The other tasks may have given up on this one, or Redis has lost its data.
		k.log.Warn("the inbox had expired and was created again")
		for _, site := range k.relay.sites() {
			k.repairLater(site)
		}
	}
	return true
}

// checkTasks finds the tasks that have died, and those that were taken for dead.
func (k *keeper) checkTasks() {
	tasks := k.relay.others()
	if len(tasks) == 0 || !k.up.Load() {
		return
	}
	ctx, cancel := k.timeout()
	defer cancel()
	found := make([]*redis.IntCmd, len(tasks))
	if _, err := k.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, task := range tasks {
			found[i] = p.Exists(ctx, inboxKey(task))
		}
		return nil
	}); err != nil {
		_ = k.failed("look for the other tasks", err)
		return
	}
	now := k.relay.now()
	missing := map[string]time.Time{}
	dead := map[string]bool{}
	for i, task := range tasks {
		if found[i].Val() > 0 {
			if k.dead[task] {
				k.log.Info("a task that seemed dead is alive", "other", task)
				k.eachRoom(func(rm *room) { k.alive(rm, task) })
			}
			continue
		}
		since, ok := k.missing[task]
		if !ok {
			since = now
		}
		missing[task] = since
		if now.Sub(since) < k.config.DeadAfter && !k.dead[task] {
			continue
		}
		if dead[task] = true; !k.dead[task] {
			k.log.Warn("a task is dead; its peers may be back on another", "other", task)
		}
		k.eachRoom(func(rm *room) { rm.lose(task, now) })
	}
	k.missing, k.dead = missing, dead
}

// lose marks the members of a dead task.
func (rm *room) lose(task string, now time.Time) {
	for _, m := range rm.members {
		if m.task != task || !m.dead.IsZero() {
			continue
		}
		lost := *m
		lost.dead, lost.Lost = now, true
		rm.put(&lost)
		if !m.Lost {
			rm.report(lost.Peer, rtc.StateLost, "")
		}
	}
}

// alive takes back what lose did: the room is read anew.
func (k *keeper) alive(rm *room, task string) {
	for _, m := range rm.members {
		if m.task == task && !m.dead.IsZero() {
			again := *m
			again.dead = time.Time{}
			rm.put(&again)
			rm.version = 0
			k.repairLater(rm.site)
		}
	}
}

// eachRoom calls do for each room, holding its lock.
func (k *keeper) eachRoom(do func(*room)) {
	for _, site := range k.relay.sites() {
		rm := k.relay.acquireKnown(site)
		if rm == nil {
			continue
		}
		rm.mu.Lock()
		do(rm)
		rm.mu.Unlock()
		k.relay.release(rm)
	}
}

// settle ends what waited long enough.
func (k *keeper) settle() {
	now := k.relay.now()
	type expiry struct {
		site telemetry.SiteID
		ops  []operation
	}
	var expired []expiry
	k.eachRoom(func(rm *room) {
		if len(rm.early) > 0 && now.Sub(rm.earlySince) >= earlyTimeout {
			k.repairLater(rm.site)
		}
		if ops := rm.settle(now, k.config.Grace, k.config.Absence); len(ops) > 0 {
			expired = append(expired, expiry{rm.site, ops})
		}
	})
	for _, e := range expired {
		k.correct(e.site, e.ops)
	}
}

// checkVersions compares the versions of all rooms: a change that no task reported, because
// the one that made it died or Redis lost it, shows here at the latest.
func (k *keeper) checkVersions() {
	now := k.relay.now()
	if now.Sub(k.checked) < k.config.CheckEvery || !k.up.Load() {
		return
	}
	k.checked = now
	renew := now.Sub(k.renewed) >= k.config.RoomTTL/4
	if renew {
		k.renewed = now
	}
	sites := k.relay.sites()
	versions := make([]*redis.StringCmd, len(sites))
	const atATime = 1000
	for from := 0; from < len(sites); from += atATime {
		to := min(from+atATime, len(sites))
		ctx, cancel := k.timeout()
		_, err := k.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < to; i++ {
				versions[i] = p.HGet(ctx, roomKey(sites[i]), versionField)
				if renew {
					p.PExpire(ctx, roomKey(sites[i]), k.config.RoomTTL)
				}
			}
			return nil
		})
		cancel()
		if err != nil && err != redis.Nil { //nolint:errorlint // that of the first command, as it is
			_ = k.failed("compare versions", err)
			return
		}
	}
	for i, site := range sites {
		version, _ := strconv.ParseInt(versions[i].Val(), 10, 64) // 0 if the hash is missing
		if rm := k.relay.acquireKnown(site); rm != nil {
			rm.mu.Lock()
			differs := rm.version != version && len(rm.entering) == 0
			rm.mu.Unlock()
			k.relay.release(rm)
			if differs {
				k.repairLater(site)
			}
		}
	}
}

// repairAll reads the rooms that need it anew.
func (k *keeper) repairAll() {
	for _, site := range k.repairs() {
		if !k.up.Load() || k.ctx.Err() != nil {
			k.repairLater(site)
			continue
		}
		k.relay.metrics.resyncs.Inc()
		if !k.repair(site) {
			k.repairLater(site)
		}
	}
}

// repair reads a room anew, and corrects what Redis has of this task's members. It reports
// whether that succeeded.
func (k *keeper) repair(site telemetry.SiteID) bool {
	// A room that this task has left is read too: its members may still be in the hash.
	rm, err := k.relay.acquire(site)
	if err != nil {
		return true
	}
	defer k.relay.release(rm)
	rm.mu.Lock()
	before := rm.version
	rm.mu.Unlock()
	ctx, cancel := k.timeout()
	defer cancel()
	res, err := k.run(ctx, site, -1, nil)
	if err != nil {
		return false
	}
	rm.mu.Lock()
	ops := rm.apply(*res.snapshot, k.relay.now(), rm.version == before)
	rm.mu.Unlock()
	return k.correct(site, ops)
}

// correct applies operations to a room and reports them to the other tasks.
func (k *keeper) correct(site telemetry.SiteID, ops []operation) bool {
	again := false
	sent := ops[:0:0]
	for _, op := range ops {
		if op.kind == read {
			again = true
			continue
		}
		sent = append(sent, op)
	}
	if len(sent) > 0 {
		rm, err := k.relay.acquire(site)
		if err != nil {
			return true
		}
		defer k.relay.release(rm)
		rm.mu.Lock()
		known := rm.version
		rm.mu.Unlock()
		ctx, cancel := k.timeout()
		defer cancel()
		res, err := k.run(ctx, site, known, sent)
		if err != nil {
			return false
		}
		rm.mu.Lock()
		defer rm.mu.Unlock()
		k.corrected(rm, sent, res)
		again = rm.advance(res, k.relay.now()) || again
	}
	return !again
}

// corrected follows this task's own corrections in the view, and reports them.
func (k *keeper) corrected(rm *room, ops []operation, res result) {
	tasks := rm.tasks()
	version := res.version - int64(res.count())
	for i, op := range ops {
		if res.applied[i] {
			version++
		}
		c := change{version: version, id: op.id, value: op.value}
		if op.kind == expire {
			// Also if another task was first: its report may be on the way.
			if m := rm.members[op.id]; m != nil && m.task == op.value {
				rm.left(m, rtc.PeerLost)
			}
			c.value, c.reason = "", rtc.PeerLost
		}
		if op.kind == exit {
			c.value = ""
		}
		if res.applied[i] {
			k.notify(tasks, rm.site, c)
		}
	}
}
