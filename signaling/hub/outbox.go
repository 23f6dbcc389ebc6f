package hub

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
)

// outbox has what waits for one socket, and what a resume may ask for. Anybody may add to it
// and nobody waits: one goroutine at a time, which exists only while something waits, writes
// to the socket.
type outbox struct {
	hub *Hub

	mu   sync.Mutex
	idle sync.Cond // on mu: writing has become false
	// conn is nil before the socket is open and after it has ended.
	conn    *websocket.Conn
	writing bool
	// ending says that the last message and the close are queued.
	ending bool
	// byService says that the service has closed, not the client.
	byService bool
	queue     []entry
	// waiting and waitingBytes count what is not written yet, that of the writer included, and
	// rosterBytes the members of rooms apart from them.
	waiting, waitingBytes, rosterBytes int

	// seq is that of the last numbered message.
	seq int64
	// kept are the last numbered messages, up to seq.
	kept      []kept
	keptBytes int
	// next is the outbox of the session that has resumed this one.
	next *outbox
}

// entry is one frame. The text of a message may be shared by the outboxes of a room.
type entry struct {
	kind int // websocket.TextMessage, or a control frame
	data []byte
	// seq is 0 for messages without a number.
	seq int64
	// roster says that the message is one of those with the members of a room that was joined,
	// of which there may be more than may wait otherwise.
	roster bool
}

// kept is a numbered message that a resume may ask for.
type kept struct {
	data []byte
	at   int64 // when it was sent, in nanoseconds since the Unix epoch
}

// frame returns the bytes of the frame; buffer may be used for them.
func (e *entry) frame(buffer []byte) []byte {
	if e.seq == 0 {
		return e.data
	}
	return rtc.AppendWithSeq(buffer, e.data, e.seq)
}

func (o *outbox) init(h *Hub, conn *websocket.Conn) {
	o.hub, o.conn = h, conn
	o.idle.L = &o.mu
}

// reply adds a message; numbered says that a resume must not lose it.
func (o *outbox) reply(m rtc.Message, numbered bool) { o.replyWith(m, numbered, false) }

// replyRoster adds a numbered message with members of a room.
func (o *outbox) replyRoster(m rtc.Message) { o.replyWith(m, true, true) }

func (o *outbox) replyWith(m rtc.Message, numbered, roster bool) {
	data, err := rtc.Encode(m)
	if err != nil {
		o.hub.log.Error("message cannot be encoded", "type", string(m.Type()), "error", err.Error())
		return
	}
	o.add(m.Type(), data, numbered, roster)
}

// send adds an encoded message, which must not change any more.
func (o *outbox) send(t rtc.Type, data []byte, numbered bool) { o.add(t, data, numbered, false) }

func (o *outbox) add(t rtc.Type, data []byte, numbered, roster bool) {
	o.hub.metrics.sent.WithLabelValues(string(t)).Inc()
	o.mu.Lock()
	if next := o.next; next != nil {
		o.mu.Unlock()
		next.add(t, data, numbered, roster)
		return
	}
	defer o.mu.Unlock()
	e := entry{kind: websocket.TextMessage, data: data, roster: roster}
	if numbered {
		o.seq++
		e.seq = o.seq
		o.keep(data)
	}
	o.push(e)
}

// keep remembers a numbered message. Callers hold mu.
func (o *outbox) keep(data []byte) {
	o.kept = append(o.kept, kept{data, o.hub.config.Now().UnixNano()})
	o.keptBytes += len(data)
	drop := 0
	for len(o.kept)-drop > rtc.MaxKept || o.keptBytes > rtc.MaxKeptBytes {
		o.keptBytes -= len(o.kept[drop].data)
		drop++
	}
	o.forget(drop)
}

// forget drops the first n of what is kept; their bytes are subtracted already. Callers hold mu.
func (o *outbox) forget(n int) {
	if n == 0 {
		return
	}
	if n == len(o.kept) {
		o.kept = nil // its memory, too: most sessions are silent most of the time
		return
	}
	clear(o.kept[:n])
	o.kept = o.kept[n:]
}

// forgetBefore drops what was sent before a time: a client that is alive has it.
func (o *outbox) forgetBefore(t time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil || o.waiting > 0 || o.rosterBytes > 0 {
		return
	}
	n := 0
	for n < len(o.kept) && o.kept[n].at < t.UnixNano() {
		o.keptBytes -= len(o.kept[n].data)
		n++
	}
	o.forget(n)
}

// control adds a control frame.
func (o *outbox) control(kind int, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.push(entry{kind: kind, data: data})
}

// push adds an entry and starts the writer. Callers hold mu.
func (o *outbox) push(e entry) {
	if o.conn == nil || o.ending {
		return
	}
	limits := &o.hub.config.Limits
	full := o.waiting >= limits.Queue || o.waitingBytes+len(e.data) > limits.QueueBytes
	if e.roster {
		full = o.rosterBytes+len(e.data) > rosterShare*limits.QueueBytes
	}
	if full {
		o.endLocked(rtc.Errorf(rtc.SlowReader, "%d messages of %d bytes waited to be read", o.waiting, o.waitingBytes+o.rosterBytes), true)
		return
	}
	o.enqueue(e)
}

// rosterShare is how many times QueueBytes the members of rooms may take: some 50,000 of them.
const rosterShare = 8

func (o *outbox) enqueue(e entry) {
	o.queue = append(o.queue, e)
	if e.roster {
		o.rosterBytes += len(e.data)
	} else {
		o.waiting++
		o.waitingBytes += len(e.data)
	}
	o.hub.metrics.queued.Add(float64(len(e.data)))
	if !o.writing {
		o.writing = true
		go o.write(o.conn)
	}
}

// end sends an error and closes the socket with its code.
func (o *outbox) end(fault *rtc.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked(fault, false)
}

// endLocked is end; drop drops what waits. Callers hold mu.
func (o *outbox) endLocked(fault *rtc.Error, drop bool) {
	if o.conn == nil || o.ending {
		return
	}
	h := o.hub
	h.metrics.faults.WithLabelValues(string(fault.Code)).Inc()
	h.metrics.ended.WithLabelValues(string(fault.Code)).Inc()
	if drop {
		for _, e := range o.queue {
			o.written(e)
		}
		o.queue = nil
	}
	if data, err := rtc.Encode(fault.Reply()); err == nil {
		o.enqueue(entry{kind: websocket.TextMessage, data: data})
	}
	o.enqueue(entry{kind: websocket.CloseMessage, data: websocket.FormatCloseMessage(fault.Code.Info().Close, string(fault.Code))})
	o.ending, o.byService = true, true
}

// ended reports whether the service has closed the socket, not the client.
func (o *outbox) ended() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byService
}

// written counts an entry that does not wait any more. Callers hold mu.
func (o *outbox) written(e entry) {
	if e.roster {
		o.rosterBytes -= len(e.data)
	} else {
		o.waiting--
		o.waitingBytes -= len(e.data)
	}
	o.hub.metrics.queued.Sub(float64(len(e.data)))
}

// write writes until nothing waits. It alone writes to the socket.
func (o *outbox) write(conn *websocket.Conn) {
	times := &o.hub.config.Times
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.idle.Broadcast()
	buffer := o.hub.buffers.Get().(*[]byte) // the pool has nothing else
	defer o.hub.buffers.Put(buffer)
	for len(o.queue) > 0 && o.conn != nil {
		batch := o.queue
		o.queue = nil
		for i, e := range batch {
			o.mu.Unlock()
			_ = conn.SetWriteDeadline(o.hub.config.Now().Add(times.Write))
			frame := e.frame((*buffer)[:0])
			err := conn.WriteMessage(e.kind, frame)
			if e.seq != 0 && cap(frame) <= largestBuffer {
				*buffer = frame[:0]
			}
			if e.kind == websocket.CloseMessage {
				// The client has that long for its part; what it sends meanwhile is read, or
				// TCP would reset the connection and the client might not see the close.
				_ = conn.NetConn().SetReadDeadline(o.hub.config.Now().Add(times.Linger))
			}
			o.mu.Lock()
			o.written(e)
			if err != nil {
				_ = conn.Close() // ends the reader
				o.queue = append(batch[i+1:], o.queue...)
				o.dropQueue()
				o.conn = nil
				break
			}
		}
	}
	o.writing = false
}

func (o *outbox) dropQueue() {
	for _, e := range o.queue {
		o.written(e)
	}
	o.queue = nil
}

// detach closes the socket and waits until nobody writes to it. flush says that the client
// has closed, and waits for the response.
func (o *outbox) detach(conn *websocket.Conn, flush bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for flush && o.writing {
		o.idle.Wait()
	}
	_ = conn.Close()
	o.conn = nil
	for o.writing {
		o.idle.Wait()
	}
	o.dropQueue()
}

// resume takes over from the outbox of an earlier socket of the session. It sends welcome,
// and what the client has not received; resumed is false, and nothing is sent, if that is not
// known any more. welcome makes the message. Callers hold the hub's lock.
func (o *outbox) resume(earlier *outbox, received int64, welcome func(resumed bool) rtc.Message) (resumed bool) {
	earlier.mu.Lock()
	defer earlier.mu.Unlock()
	earlier.next = o
	o.mu.Lock()
	defer o.mu.Unlock()
	first := earlier.seq - int64(len(earlier.kept)) + 1 // the first that is kept
	resumed = received >= first-1 && received <= earlier.seq
	if resumed {
		o.seq, o.kept, o.keptBytes = earlier.seq, earlier.kept, earlier.keptBytes
	}
	earlier.kept = nil
	data, err := rtc.Encode(welcome(resumed))
	if err != nil {
		o.hub.log.Error("message cannot be encoded", "type", "welcome", "error", err.Error())
	}
	o.hub.metrics.sent.WithLabelValues("welcome").Inc()
	o.push(entry{kind: websocket.TextMessage, data: data})
	for i, k := range o.kept {
		if seq := first + int64(i); seq > received {
			o.push(entry{kind: websocket.TextMessage, data: k.data, seq: seq})
		}
	}
	return resumed
}
