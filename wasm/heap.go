//go:build tinygo

package main

import (
	"runtime"
	"unsafe"
)

// heap is the memory of allocations during a call: the reason why a state was rejected, and
// variables for which the compiler cannot prove that they do not escape. [fresh] empties
// it, so the module's memory cannot grow.
var heap struct {
	bytes [32 << 10]byte
	used  uintptr
}

//go:linkname alloc runtime.alloc
func alloc(size uintptr, _ unsafe.Pointer) unsafe.Pointer {
	size = (size + 15) &^ 15
	if size > uintptr(len(heap.bytes))-heap.used {
		panic("out of memory") // traps
	}
	place := unsafe.Pointer(&heap.bytes[heap.used])
	heap.used += size
	clear(unsafe.Slice((*byte)(place), size))
	return place
}

//go:linkname initHeap runtime.initHeap
func initHeap() {}

//go:linkname free runtime.free
func free(unsafe.Pointer) {}

//go:linkname markRoots runtime.markRoots
func markRoots(_, _ uintptr) {}

//go:linkname collect runtime.GC
func collect() {}

//go:linkname setFinalizer runtime.SetFinalizer
func setFinalizer(_, _ interface{}) {}

//go:linkname readMemStats runtime.ReadMemStats
func readMemStats(_ *runtime.MemStats) {}
