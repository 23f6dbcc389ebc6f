package stack

import (
	"context"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/cdk/local/lambda"
)

// source adapts the stream to the event source mappings.
type source struct{ server *kinesis.Server }

var _ eventsource.Stream = source{}

func (s source) Shards(stream string) ([]eventsource.Shard, error) {
	infos, err := s.server.ListShardInfo(stream)
	shards := make([]eventsource.Shard, len(infos))
	for i, info := range infos {
		shards[i] = eventsource.Shard{ID: info.ID, ParentID: info.ParentID, AdjacentParentID: info.AdjacentParentID}
	}
	return shards, err
}

func (s source) Read(stream, shard, after string, maxRecords, maxBytes int) ([]eventsource.Record, bool, error) {
	read, end, err := s.server.Read(stream, shard, after, maxRecords, maxBytes)
	records := make([]eventsource.Record, len(read))
	for i := range read {
		records[i] = eventsource.Record{
			SequenceNumber: read[i].SequenceNumber, PartitionKey: read[i].PartitionKey,
			Data: read[i].Data, Arrival: read[i].Arrival,
		}
	}
	return records, end, err
}

func (s source) Wait(ctx context.Context, stream, shard, after string) error {
	return s.server.Wait(ctx, stream, shard, after)
}

// consumer adapts a function to the event source mappings.
type consumer struct{ function *lambda.Function }

var _ eventsource.Invoker = consumer{}

func (c consumer) Invoke(ctx context.Context, payload []byte) (eventsource.Response, error) {
	r, err := c.function.Invoke(ctx, payload)
	return eventsource.Response{Payload: r.Payload, FunctionError: r.FunctionError}, err
}

// checkpoints stores the checkpoints of one stream, and reports them to the server, which
// drops records before all of them when its memory is full.
type checkpoints struct {
	*eventsource.Memory
	server *kinesis.Server
	stream string
}

var _ eventsource.Checkpoints = checkpoints{}

// register registers a mapping with the server, and reports its earlier checkpoints.
func (c checkpoints) register(mapping eventsource.MappingID) error {
	if err := c.server.RegisterConsumer(c.stream, string(mapping)); err != nil {
		return err
	}
	shards, err := c.server.ListShardInfo(c.stream)
	for _, shard := range shards {
		if at, ok := c.Load(mapping, shard.ID); ok {
			c.Save(mapping, shard.ID, at)
		}
	}
	return err
}

func (c checkpoints) Save(mapping eventsource.MappingID, shard string, at eventsource.Checkpoint) {
	c.Memory.Save(mapping, shard, at)
	if at.Sequence != "" {
		// An error means that the shard was deleted.
		_ = c.server.SetTrimmable(c.stream, string(mapping), shard, at.Sequence)
	}
}
