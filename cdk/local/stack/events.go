package stack

import (
	"context"

	"github.com/insighthub/insighthub/cdk/local/events"
)

// startEvents gives the buses their body: a log of what is put on them.
func (s *Stack) startEvents(ctx context.Context) error {
	if len(s.plan.Buses) == 0 {
		return nil
	}
	logs, err := s.openLog("events")
	if err != nil {
		return err
	}
	var buses []string
	for _, b := range s.plan.Buses {
		buses = append(buses, b.Name)
	}
	server := events.New(events.Config{Buses: buses, Region: s.plan.Region, Account: s.plan.Account, Out: logs, Now: s.cfg.Now})
	if s.endpoints.events, err = s.serveLocal(ctx, "events", server.Handler()); err != nil {
		return err
	}
	for _, b := range s.plan.Buses {
		s.say("bus        %s, each event a line of %s", b.Name, s.cfg.path("logs", "events.log"))
	}
	return nil
}
