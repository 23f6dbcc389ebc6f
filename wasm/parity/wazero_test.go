package parity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/insighthub/insighthub/wasm/module"
)

// host is the module under wazero.
type host struct {
	ctx    context.Context //nolint:containedctx // a test's host lives as long as its test
	module api.Module

	times, values, scores, flags, state uint32
}

func newHost(tb testing.TB, path string) *host {
	tb.Helper()
	code, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	ctx := tb.Context()
	runtime := wazero.NewRuntime(ctx)
	tb.Cleanup(func() {
		if err := runtime.Close(context.WithoutCancel(ctx)); err != nil {
			tb.Error(err)
		}
	})
	compiled, err := runtime.CompileModule(ctx, code)
	if err != nil {
		tb.Fatal(err)
	}
	if imports := compiled.ImportedFunctions(); len(imports) > 0 {
		tb.Errorf("the module imports %v", imports)
	}
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		tb.Fatal(err)
	}
	h := &host{ctx: ctx, module: instance}
	for name, place := range map[string]*uint32{
		"times": &h.times, "values": &h.values, "scores": &h.scores, "flags": &h.flags, "state": &h.state,
	} {
		*place = uint32(h.mustCall(tb, name))
	}
	return h
}

func (h *host) call(name string, args ...int32) (uint64, error) {
	stack := make([]uint64, 0, len(args))
	for _, arg := range args {
		stack = append(stack, api.EncodeI32(arg))
	}
	f := h.module.ExportedFunction(name)
	if f == nil {
		return 0, errors.New("the module exports no " + name)
	}
	result, err := f.Call(h.ctx, stack...)
	if err != nil {
		return 0, fmt.Errorf("%s%v: %w", name, args, err)
	}
	return result[0], nil
}

func (h *host) mustCall(tb testing.TB, name string, args ...int32) uint64 {
	tb.Helper()
	result, err := h.call(name, args...)
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

// slot is one of the module's detectors, or machines, as a scorer.
type slot struct {
	*host
	slot    int32
	sensors int
	prefix  string // of the exports: machine_ for a machine
}

func (h *host) scorer(sensors int) (*slot, error) {
	if sensors == 1 {
		_, err := h.call("reset", 0)
		return &slot{host: h, sensors: 1}, err
	}
	status, err := h.call("machine_reset", 0, int32(sensors))
	if err == nil && status != 0 {
		err = fmt.Errorf("the module rejects %d sensors", sensors)
	}
	return &slot{host: h, sensors: sensors, prefix: "machine_"}, err
}

func (s *slot) push(micros []int64, values, scores []float64, flags []uint8) error {
	most := module.Block / s.sensors
	for len(micros) > most {
		if err := s.push(micros[:most], values[:most*s.sensors], scores[:most], flags[:most]); err != nil {
			return err
		}
		micros, values, scores, flags = micros[most:], values[most*s.sensors:], scores[most:], flags[most:]
	}
	memory := s.module.Memory()
	var block []byte
	for _, t := range micros {
		block = binary.LittleEndian.AppendUint64(block, uint64(t))
	}
	ok := memory.Write(s.times, block)
	block = block[:0]
	for _, value := range values {
		block = binary.LittleEndian.AppendUint64(block, math.Float64bits(value))
	}
	ok = memory.Write(s.values, block) && ok
	flagged, err := s.call(s.prefix+"push", s.slot, int32(len(micros)))
	if err != nil {
		return err
	}
	for i := range scores {
		bits, read := memory.ReadUint64Le(s.scores + 8*uint32(i))
		scores[i], ok = math.Float64frombits(bits), ok && read
	}
	read, in := memory.Read(s.flags, uint32(len(flags)))
	if !ok || !in {
		return errors.New("a buffer lies outside the module's memory")
	}
	copy(flags, read)
	set := 0
	for _, flag := range flags {
		set += int(flag)
	}
	if int32(flagged) != int32(set) {
		return fmt.Errorf("push returned %d, and set %d flags", int32(flagged), set)
	}
	return nil
}

func (s *slot) state() (uint64, []byte, error) {
	hash, err := s.call(s.prefix+"hash", s.slot)
	if err != nil {
		return 0, nil, err
	}
	length, err := s.call(s.prefix+"save", s.slot)
	if err != nil {
		return 0, nil, err
	}
	saved, ok := s.module.Memory().Read(s.host.state, uint32(length))
	if !ok {
		return 0, nil, fmt.Errorf("a state of %d bytes lies outside the module's memory", int32(length))
	}
	return hash, saved, nil
}

func (s *slot) restore(state []byte) error {
	if !s.module.Memory().Write(s.host.state, state) {
		return errors.New("the state does not fit")
	}
	status, err := s.call(s.prefix+"restore", s.slot, int32(len(state)))
	if err != nil || status == 0 {
		return err
	}
	reason, _ := s.module.Memory().Read(s.host.state, uint32(status))
	return errors.New(string(reason))
}
