package module

import "github.com/insighthub/insighthub/lib/anomaly"

// machine is a Machine and the number of its sensors, which Machine does not export.
type machine struct {
	sensors int32
	machine anomaly.Machine
}

// MachineReset makes the slot a new machine with the given number of sensors.
func (m *Module) MachineReset(slot, sensors int32) int32 {
	if slot < 0 || slot >= Machines || m.machines[slot].machine.Reset(int(sensors)) != nil {
		return Refused
	}
	m.machines[slot].sensors = sensors
	return 0
}

// MachinePush scores the first samples of Times, each with consecutive Values of all
// sensors, and writes their Scores and Flags. It returns the number of flagged samples.
func (m *Module) MachinePush(slot, samples int32) int32 {
	at := m.machineAt(slot)
	if at == nil || samples < 0 || samples > Block/at.sensors {
		return Refused
	}
	var flagged int32
	sensors := int(at.sensors)
	for i := range int(samples) {
		score, anomalous := at.machine.Push(m.Times[i], m.Values[i*sensors:(i+1)*sensors])
		m.Scores[i], m.Flags[i] = score, 0
		if anomalous {
			m.Flags[i] = 1
			flagged++
		}
	}
	return flagged
}

// MachineSave writes the machine's state to State and returns its length.
func (m *Module) MachineSave(slot int32) int32 {
	at := m.machineAt(slot)
	if at == nil {
		return Refused
	}
	return int32(len(at.machine.AppendState(m.State[:0])))
}

// MachineRestore restores a machine as [Module.Restore] does a detector. The state must be
// of a machine with the number of sensors to which the slot was reset.
func (m *Module) MachineRestore(slot, length int32) int32 {
	at := m.machineAt(slot)
	if at == nil || length < 0 || length > StateBytes {
		return Refused
	}
	return m.explain(at.machine.Restore(m.State[:length]))
}

// MachineHash returns the hash of the machine's state, or 0 without a machine.
func (m *Module) MachineHash(slot int32) uint64 {
	at := m.machineAt(slot)
	if at == nil {
		return 0
	}
	return at.machine.Hash()
}

// machineAt returns nil for a slot outside the pool or not yet reset.
func (m *Module) machineAt(slot int32) *machine {
	if slot < 0 || slot >= Machines || m.machines[slot].sensors == 0 {
		return nil
	}
	return &m.machines[slot]
}
