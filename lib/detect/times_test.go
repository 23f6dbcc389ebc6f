package detect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// lines makes a stream of lines "arrival: time=value time=value …", in seconds; one of a
// single record each. Instead of a value, "bad" is 1 of bad quality, and a line without events is a tick.
func lines(t *testing.T, text string) *testStream {
	t.Helper()
	stream := &testStream{}
	for line := range strings.SplitSeq(text, ",") {
		arrival, rest, _ := strings.Cut(line, ":")
		var b *telemetry.Batch
		for one := range strings.FieldsSeq(rest) {
			if b == nil {
				b = batch("a")
			}
			at, value, _ := strings.Cut(one, "=")
			e := event("press", "heat", start+micro(t, at), 1)
			if value == "bad" {
				e.Quality = telemetry.Bad
			} else if _, err := fmt.Sscan(value, &e.Value); err != nil {
				t.Fatal(err)
			}
			b.Append(e)
		}
		if b == nil {
			stream.add(start + micro(t, arrival))
		} else {
			stream.add(start+micro(t, arrival), b)
		}
	}
	return stream
}

func micro(t *testing.T, text string) telemetry.Micros {
	t.Helper()
	var seconds float64
	if _, err := fmt.Sscan(text, &seconds); err != nil {
		t.Fatal(err)
	}
	return telemetry.Micros(math.Round(seconds * 1e6))
}

func ruleOf(r directory.AlarmRule) directory.AlarmRule {
	r.ID, r.Site, r.Gateway, r.Device, r.Metric, r.Severity = "1", "plant", "a", "press", "heat", directory.Warning
	return r
}

// TestTimes has values of the present, the future and the past judged by a rule.
func TestTimes(t *testing.T) {
	t.Parallel()
	limits := directory.AlarmRule{Kind: directory.ByThreshold, Low: new(10.0), High: new(90.0)}
	hysteresis := directory.AlarmRule{Kind: directory.ByThreshold, High: new(90.0), Hysteresis: 10}
	rate := directory.AlarmRule{Kind: directory.ByRate, PerSecond: new(10.0)}
	fast := directory.AlarmRule{Kind: directory.ByRate, PerSecond: new(10.0), MinInterval: 100 * time.Millisecond}
	for name, c := range map[string]struct {
		rule        directory.AlarmRule
		lines, want string
	}{
		"low after high":             {limits, "0:0=50,1:1=95,2:2=5,3:3=50", "1=95 to 2 cleared, 2=5 to 3 cleared"},
		"active until inside":        {limits, "0:0=50,1:1=95,2:2=96", "1=95 active"},
		"bad values end nothing":     {limits, "0:0=95,1:1=bad", "0=95 active"},
		"of one batch, out of order": {limits, "3:2=5 0=50 1=95", "1=95 to 2 cleared, 2=5 active"},

		// A time ahead does not blind the rule.
		"first ahead":           {limits, "0:240=50,1:1=200,2:2=200", "1=200 active"},
		"same time as the next": {limits, "0.02:240=50,0.04:0=200", "0=200 active"},
		"one ahead":             {limits, "0:0=50,1:241=50,2:2=200,3:3=50", "2=200 to 3 cleared"},
		"ahead ends nothing":    {limits, "0:0=200,1:241=50,2:2=200", "0=200 active"},
		"in its batch":          {limits, "0:0=50,2:241=50 1=200 2=200", "1=200 active"},
		"ahead is judged when its time comes": {
			limits, "0:0=50,1:200=95,100:100=50,199:199=50,201:201=96,202:202=50", "200=95 to 202 cleared",
		},
		"and in order":        {limits, "0:0=50,1:200=95,199:199=50,202:202=50", "200=95 to 202 cleared"},
		"though none follows": {limits, "0:0=50,1:200=95,199:199=50,199.9,200", "200=95 active"},
		"not before":          {limits, "0:0=50,1:200=95,199:199=50,199.9", ""},
		"its time comes within a batch": {
			limits, "0:0=200,1:198.5=50,200:197=200 198=200 199=200,205:201=50", "0=200 to 198.5 cleared, 199=200 to 201 cleared",
		},
		"its time has come, a batch has not": {limits, "0:0=50,1:198.5=50,198.6,200:197=50 198=200 199=200", "198=200 active"},
		"several ahead": {
			limits, "0:0=50,1:101=95 102=50 103=5,2:2=50,90:90=50", "101=95 to 102 cleared, 103=5 to 103 cleared",
		},

		// A clock that steps ahead.
		"3 s ahead":              {limits, stepped(3, 20, 5), "48=200 to 53 cleared"},
		"30 s ahead":             {limits, stepped(30, 20, 5), "75=200 to 80 cleared"},
		"30 s ahead, for long":   {limits, stepped(30, 2, 98), "57=200 to 155 cleared"},
		"30 s ahead, at once":    {limits, stepped(30, 0, 5), "55=200 to 60 cleared"},
		"4 minutes ahead":        {limits, stepped(240, 20, 5), "285=200 to 290 cleared"},
		"30 s ahead, in batches": {limits, "0:0=50,5:31=50 32=50 33=200 34=200 35=200,10:36=200 37=50,15:41=50", "33=200 to 37 cleared"},
		"3 s ahead, in batches":  {limits, "0:0=50,5:4=50 5=50 6=200 7=200 8=200,10:9=200 10=50 11=50 12=50 13=50", "6=200 to 10 cleared"},
		"30 s ahead, an event a minute": {
			limits, "0:0=50,60:90=200,90,120:150=200,180:210=50,240:270=50", "90=200 to 210 cleared",
		},
		"set back while active": {limits, "0:0=50,1:31=50,2:32=200,3:33=200,4:4=200,5:5=200,6:6=50,7:7=50", "32=200 to 32 cleared"},
		"set back to 3 s ahead": {
			limits, "0:0=50,1:241=50,2:242=50,3:6=200,4:7=200,5:8=50", "6=200 to 8 cleared",
		},
		"set back to a time that was": {
			limits, "0:0=50,1:4=50,2:5=200,3:6=50,4:4=50.5,5:5=201,6:6=202,7:7=50", "5=200 to 6 cleared, 6=202 to 7 cleared",
		},
		"one ahead of a fast clock": {
			limits, "0:3=50,1:4=50,2:242=50,3:6=200,4:7=200,5:8=50", "6=200 to 8 cleared",
		},
		"two clocks": {
			limits, "0:0=50,0.5:30.5=50,1:1=50,1.5:31.5=50,2:2=200,2.5:32.5=200,3:3=200,3.5:33.5=200,4:4=50,4.5:34.5=50,5:5=50",
			"2=200 to 4 cleared",
		},
		"the change of two clocks": {
			rate, "0:0=50,0.5:30.5=50,1:1=50,1.5:31.5=50,2:2=200,2.5:32.5=200,3:3=200,3.5:33.5=200,4:4=200",
			"2=200 to 3 cleared",
		},
		"right again after a minute": {
			limits, "0:0=50,1:31=50,2:32=50,3:3=50,60:60=50,65:65=50,66:246=200,67:67=50,245:245=50", "",
		},
		"ahead twice": {limits, "0:0=50,1:101=95,2:101=95,60:60=50,102:102=50", "101=95 to 102 cleared"},
		"a fast clock is judged at once": {
			limits, "0:240=50,1:241=95,2:242=96,3:243=50", "241=95 to 243 cleared",
		},
		"a fast clock that is set right": {
			limits, "0:240=50,100:340=95,101:101=96,102:102=50", "340=95 to 340 cleared",
		},
		"a fast clock sends twice": {
			limits, "0:240=95,1:241=50,2:242=50,3:240=95,200:440=50,210:440=50 240=95", "240=95 to 241 cleared",
		},
		"a fast clock sends again what has passed": {
			limits, "0:240=95,1:241=50,50:290=50,100:340=50,150:390=50,200:440=50,300:540=50,400:640=50,401:240=95,402:642=50",
			"240=95 to 241 cleared",
		},
		"bad and ahead": {limits, "0:240=bad,1:1=200", "1=200 active"},
		"a second ahead is present": {
			limits, "0:1=200,0.5:0.5=50", "1=200 active",
		},
		"far ahead, as from a producer on the stream": {limits, "0:0=50,1:80000=50,2:2=200", "2=200 active"},

		// Late values.
		"newest first": {
			limits, "100:100=50,101:99=50,102:98=95,103:97=96,104:96=50", "97=96 to 98 past late 4s",
		},
		"newest first, two excursions": {
			limits, "100:100=50,101:98=95,102:97=50,103:96=5,104:95=4,105:94=50",
			"95=4 to 96 past late 7s, 98=95 to 98 past late 3s",
		},
		"newest first, into the present": {
			limits, "100:100=95,101:99=96,102:98=50,103:103=94", "99=96 to 99 past late 2s, 100=95 active",
		},
		"newest first, three values beyond": {
			limits, "100:100=50,101:99=50,102:98=95,103:97=96,104:96=97,105:95=50,106:94=50", "96=97 to 98 past late 4s",
		},
		"newest first, all beyond": {limits, "100:100=50,101:99=95,102:98=96,103:97=97", "97=97 to 99 past late 2s"},
		"in batches, newest first": {
			limits, "100:100=50,101:97=96 98=97 99=50,102:94=50 95=50 96=95", "96=95 to 98 past late 4s",
		},
		"in any order": {limits, "100:100=50,101:97=96,102:99=50,103:98=97,104:94=50,105:96=95,106:95=50", "96=95 to 98 past late 4s"},
		"one by one, from both ends": {
			limits, "100:100=50,101:90=50,102:99=50,103:91=95,104:98=50,105:92=96,106:97=97,107:96=98,108:95=95",
			"91=95 to 97 past late 12s",
		},
		"newest first, sent again": {
			limits, "100:100=50,101:98=95,102:97=96,103:98=95,104:97=96,105:96=50,106:98=95 97=96", "97=96 to 98 past late 3s",
		},
		"newest first, within the hysteresis": {
			hysteresis, "100:100=50,101:99=85,102:98=95,103:97=85,104:96=96,105:95=85,106:94=50", "96=96 to 99 past late 4s",
		},
		"newest first, a change": {rate, "100:100=40,101:95=40,102:94=40,103:93=20,104:92=20", "94=40 to 94 past late 9s"},
		"newest first, a slope":  {rate, "100:100=40,101:95=60,102:94=60,103:93=40,104:92=20,105:91=20", "93=40 to 94 past late 9s"},
		"oldest first in late batches": {
			limits, "100:100=50,101:90=95 91=96 92=97 93=50,102:80=5 81=50", "80=5 to 80 past late 22s, 90=95 to 92 past late 11s",
		},
		"a late value neither ends nor raises": {
			limits, "100:100=95,101:99=50,102:102=96,103:103=50,104:90=95,105:105=96",
			"90=95 to 90 past late 14s, 100=95 to 103 cleared, 105=96 active",
		},
		"sent again": {
			limits, "100:96=50 97=95 98=96 99=95 100=50,101:96=50 97=95 98=96 99=95 100=50,102:98=96", "97=95 to 100 cleared",
		},
		"sent again in part": {
			limits, "100:96=50 97=95 98=96 99=95 100=50,101:98=96 99=95 100=50", "97=95 to 100 cleared",
		},
		"sent again while active": {limits, "100:97=50 98=95 99=96,101:97=50 98=95 99=96,102:98=95", "98=95 active"},
		"late ones sent again": {
			limits, "100:100=50,101:90=95 91=96 92=50,102:90=95 91=96 92=50", "90=95 to 91 past late 11s",
		},
		"late, an hour apart": {
			limits, "5000:5000=50,5001:1000=95,9000:9000=50,9001:3000=96",
			"1000=95 to 1000 past late 1h6m41s, 3000=96 to 3000 past late 1h40m1s",
		},
		"in order but late": {limits, "100:1=50 2=95 3=50,100.5:95=96", "2=95 to 3 cleared late 1m38s, 95=96 active"},
		"late and bad":      {limits, "100:100=50,101:99=bad", ""},

		// Rates.
		"a change within a millisecond":   {rate, "1:0=20.0 0.001=20.1 0.002=20.0", ""},
		"a step of a fast series":         {rate, "1:0=20 0.1=20 0.2=31 0.3=31,3:1.5=31 2.5=31", "0.2=31 to 0.3 cleared"},
		"a slope of a fast series":        {rate, slope(12), "1=12 to 3.2 cleared"},
		"a lesser slope":                  {rate, slope(9), ""},
		"not quite a second":              {rate, "9:0=20 0.999=20 1.998=31 2.997=31 3.996=31", "1.998=31 to 2.997 cleared"},
		"with its own interval":           {fast, "1:0=20.0 0.001=20.1 0.1=20.9 0.2=22.1 0.3=22.2", "0.2=22.1 to 0.3 cleared"},
		"back and forth in a millisecond": {rate, "1:0=20.0 0.001=45 0.002=20", "0.001=45 active"},
		"a late change":                   {rate, "100:100=20,101:92=20,102:93=40,103:94=41", "93=40 to 93 past late 9s"},
		"a clock that is set back":        {rate, "0:240=20,100:340=20,101:101=500,102:102=501", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectHoweverCut(t, lines(t, c.lines), c.rule.Kind, c.want, ruleOf(c.rule))
		})
	}
}

// TestDetectorTimes has unusual values whose times were ahead, and come again with other values.
func TestDetectorTimes(t *testing.T) {
	t.Parallel()
	usual := make([]string, 400)
	for i := range usual {
		usual[i] = fmt.Sprintf("%d=%d", i-400, i%7)
	}
	for name, c := range map[string]struct{ lines, want string }{
		"the next values of a fast clock": {
			"1:100=1e6,2:101=1e7,3:102=1,4:100=1e9,5:103=1", "100=1e+06 to 101 superseded, 101=1e+07 to 102 cleared",
		},
		"a clock that is set back": {
			"1:100=1e6,2:101=1,3:3=1,70:70=1,100:100=1e9,102:102=1", "100=1e+06 to 101 cleared",
		},
		"the value that was held": {
			"1:100=1e6,99.5:99.5=1,100,101:100=1e9,102:101=1", "100=1e+06 to 100 cleared",
		},
		"the next time": {
			"1:100=1e6,2:101=1,3:3=1,70:70=1,100:100=1e9 101=1e12,102:102=1", "100=1e+06 to 101 cleared, 101=1e+12 to 102 cleared",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := lines(t, "0:"+strings.Join(usual, " ")+","+c.lines)
			expectHoweverCut(t, stream, directory.ByScore, c.want)
		})
	}
}

// TestMachineTimes has the anomaly of a machine begin at a moment ahead of the clock, and again
// at the same moment after the clock was set back.
func TestMachineTimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, lines(t, "0:0=1"))
	f.all(1)
	lease, err := f.config.States.Load(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	s, at := lease.State, start+100*second
	var found, ended int
	for _, step := range []struct {
		clock, moment telemetry.Micros
		score         float64
	}{
		{start + second, at, 0.9},
		{start + 2*second, at + second, 0},
		{at, at, 0.9},
		{at + second, at + second, 0.9},
		{at + 2*second, at + 2*second, 0},
	} {
		s.clock = step.clock
		g := s.gateways[0]
		fold := folder{state: s}
		fold.machine(&series{gateway: g, device: g.devices[0]}, step.moment, step.score, s.clock)
		found += len(fold.found)
		ended += len(s.ended)
		if s, err = (&Codec{Limits{}.withDefaults()}).Decode(s.append(nil)); err != nil {
			t.Fatal(err)
		}
		if g := s.gateways[0]; step.score > 0 {
			g.devices[0].alarmed, g.devices[0].since = len(fold.found) > 0, step.moment // not saved without a Machine
		}
	}
	if found != 2 || ended != 2 {
		t.Errorf("got %d anomalies, %d ends, want 2 and 2: at %d and a second later", found, ended, at)
	}
}

// TestLateInAnyOrder has the late values of one excursion arrive in many orders, some twice.
func TestLateInAnyOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(19, 20))
	rule := ruleOf(directory.AlarmRule{Kind: directory.ByThreshold, High: new(90.0)})
	for range 200 {
		events := []string{"100:100=50"}
		for i, at := range random.Perm(12) {
			value := 50
			if at >= 4 && at < 9 {
				value = 95 + at
			}
			for range 1 + random.IntN(2) {
				events = append(events, fmt.Sprintf("%d:%d=%d", 101+i, at, value))
			}
		}
		f := newFixture(t, lines(t, strings.Join(events, ",")), rule)
		for from := range f.stream.records {
			if err := f.invoke("s", from, from+1); err != nil {
				t.Fatal(err)
			}
			f.restart()
		}
		if got, _, _ := strings.Cut(f.anomalies.of(rule.Kind), " late"); got != "4=99 to 8 past" || len(f.anomalies.stored) != 1 {
			t.Fatalf("%v: got %d anomalies, %s; want one, 4=99 to 8 past", events, len(f.anomalies.stored), got)
		}
	}
}

// stepped returns a series of 1 Hz whose clock is right for 25 s and then that many seconds
// ahead: 50 for so many seconds more, 200 for high seconds, and 50 again.
func stepped(ahead, more, high int) string {
	var out []string
	for i := range 25 + more + high + 20 {
		at, value := i, 50
		if i >= 25 {
			at += ahead
		}
		if i >= 25+more && i < 25+more+high {
			value = 200
		}
		out = append(out, fmt.Sprintf("%d.02:%d=%d", i, at, value))
	}
	return strings.Join(out, ",")
}

// slope returns three seconds of a series of 10 Hz with that slope, and a constant second after.
func slope(perSecond float64) string {
	var events []string
	for i := range 51 {
		at := float64(i) / 10
		events = append(events, fmt.Sprintf("%g=%g", at, math.Round(100*perSecond*min(at, 3))/100))
	}
	return "5:" + strings.Join(events, " ")
}

// TestMomentsAhead has a device's moment ahead of the clock: it gives way to a present one,
// and not to an older one otherwise.
func TestMomentsAhead(t *testing.T) {
	t.Parallel()
	d, sr := &device{}, &series{}
	for _, c := range []struct{ at, limit, want telemetry.Micros }{
		{240, 1, 240}, {2, 3, 2}, {1, 3, 2}, {4, 5, 4}, {300, 6, 300}, {299, 7, 300}, {8, 9, 8},
	} {
		if d.observe(sr, c.at, 1, c.limit); d.at != c.want {
			t.Errorf("an event of %d at the limit %d: got the moment %d, want %d", c.at, c.limit, d.at, c.want)
		}
	}
}
