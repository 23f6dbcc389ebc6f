//go:build tinygo

// Command wasm is the detector as a WebAssembly module without imports. Package module and
// README.md document its exports.
package main

import "github.com/insighthub/insighthub/wasm/module"

// memory is the module's only memory besides the stack. Its address never changes, so a
// host needs to read the addresses of the buffers only once.
var memory module.Module

func main() {}

// fresh frees the heap of the previous call and returns memory.
func fresh() *module.Module {
	heap.used = 0
	return &memory
}

//go:wasmexport abi
func abi() int32 { return module.ABI }

//go:wasmexport slots
func slots() int32 { return module.Slots }

//go:wasmexport block
func block() int32 { return module.Block }

//go:wasmexport times
func times() *int64 { return &memory.Times[0] }

//go:wasmexport values
func values() *float64 { return &memory.Values[0] }

//go:wasmexport scores
func scores() *float64 { return &memory.Scores[0] }

//go:wasmexport flags
func flags() *uint8 { return &memory.Flags[0] }

//go:wasmexport state
func state() *uint8 { return &memory.State[0] }

//go:wasmexport threshold
func threshold() float64 { return module.Threshold }

//go:wasmexport reset
func reset(slot int32) int32 { return fresh().Reset(slot) }

//go:wasmexport push
func push(slot, samples int32) int32 { return fresh().Push(slot, samples) }

//go:wasmexport save
func save(slot int32) int32 { return fresh().Save(slot) }

//go:wasmexport restore
func restore(slot, length int32) int32 { return fresh().Restore(slot, length) }

//go:wasmexport hash
func hash(slot int32) uint64 { return fresh().Hash(slot) }

//go:wasmexport machines
func machines() int32 { return module.Machines }

//go:wasmexport max_sensors
func maxSensors() int32 { return module.MaxSensors }

//go:wasmexport machine_reset
func machineReset(slot, sensors int32) int32 { return fresh().MachineReset(slot, sensors) }

//go:wasmexport machine_push
func machinePush(slot, samples int32) int32 { return fresh().MachinePush(slot, samples) }

//go:wasmexport machine_save
func machineSave(slot int32) int32 { return fresh().MachineSave(slot) }

//go:wasmexport machine_restore
func machineRestore(slot, length int32) int32 { return fresh().MachineRestore(slot, length) }

//go:wasmexport machine_hash
func machineHash(slot int32) uint64 { return fresh().MachineHash(slot) }

//go:wasmexport bench
func bench(slot int32, samples uint32) int32 { return fresh().Bench(slot, samples) }
