package relay

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Publisher is a gateway's connection to a relay. It sends the same frames as the live path.
type Publisher struct {
	link    *link
	encoder *telemetry.Encoder
	group   sync.WaitGroup
	seq     atomic.Uint32
	record  []byte
}

// Dial connects a gateway to the relay at an address.
func Dial(ctx context.Context, addr string) (*Publisher, error) {
	conn, response, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+PublishPath, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to the relay: %w", err)
	}
	_ = response.Body.Close()
	encoder, err := telemetry.NewEncoder(telemetry.NoCompression)
	if err != nil {
		return nil, err
	}
	p := &Publisher{link: &link{conn: conn, queue: make(chan []byte, backlog), done: make(chan struct{})}, encoder: encoder}
	p.group.Go(p.link.write)
	p.group.Go(func() { p.link.read(p.answer) })
	return p, nil
}

// answer responds to a viewer's clock request; all viewers get the response, as there is one
// viewer in a comparison.
func (p *Publisher) answer(frame []byte) {
	received := telemetry.MicrosOf(time.Now())
	request, err := rtc.DecodeClockRequest(frame)
	if err != nil {
		return
	}
	p.link.send(rtc.AppendClockResponse(nil, rtc.ClockResponse{
		ID: request.ID, T0: request.T0, T1: received, T2: telemetry.MicrosOf(time.Now()),
	}))
}

// Publish sends a batch whose events were read at these times. It is not safe for concurrent
// use. The error says that the batch cannot be encoded, or that the connection has ended.
func (p *Publisher) Publish(b *telemetry.Batch, read []telemetry.Micros) error {
	var err error
	if p.record, err = p.encoder.AppendRecord(p.record[:0], b); err != nil {
		return err
	}
	select {
	case <-p.link.done:
		return fmt.Errorf("%w: the connection to the relay has ended", telemetry.ErrUnavailable)
	default:
	}
	sent := telemetry.MicrosOf(time.Now())
	p.link.send(rtc.AppendLive(nil, p.seq.Add(1), sent, read, p.record))
	return nil
}

// Close ends the connection and waits.
func (p *Publisher) Close() error {
	p.link.close()
	p.group.Wait()
	return nil
}
