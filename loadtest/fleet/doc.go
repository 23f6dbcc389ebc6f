// Package fleet simulates the machines of a plant and the gateways that speak
// for them, as a source of load whose truth is known.
//
// A machine has a state (running, idle, setup, down), counts its cycles and its
// good parts, and reports physical signals that hang together: the load drives
// the motor current, the current heats the motor, speed makes flow and
// vibration, flow and speed make pressure. Faults are drawn from the seed with
// their begin, end and kind known in advance ([Machine.Faults]); they bend the
// signals that such a fault would bend. The same seed gives the same fleet and,
// sample for sample, the same values.
//
// A gateway samples all its machines at one instant and sends several samples
// as one batch: machines × metrics × samples events.
package fleet
