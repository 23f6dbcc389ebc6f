// Package fleet simulates the machines of a plant and their gateways, as a source of load
// with known faults.
//
// A machine has a state (running, idle, setup, down), counts its cycles and its
// good parts, and reports physical signals that depend on each other: the load
// determines the motor current, the current heats the motor, and the speed and the
// load determine flow, vibration and pressure. The seed determines the faults, whose
// begin, end and kind are known in advance ([Machine.Faults]); each changes the signals
// that such a fault would change. The same seed gives the same fleet and the same values.
//
// A gateway samples all its machines at one instant and sends several samples
// as one batch: machines × metrics × samples events.
package fleet
