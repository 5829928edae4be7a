"""Every benchmark there is, in the order in which they run."""

from benchmarks import (
    agent_heap,
    broker_round_trip,
    bytecode_size,
    cold_start,
    fleet,
    journal,
    unlock_attempt,
    unlock_bluetooth,
    unlock_relay,
)

ENTRIES = {
    entry.name: entry
    for entry in (
        broker_round_trip.ENTRY,
        unlock_relay.ENTRY,
        unlock_attempt.ENTRY,
        unlock_bluetooth.ENTRY,
        agent_heap.ENTRY,
        bytecode_size.ENTRY,
        journal.ENTRY,
        fleet.ENTRY,
        cold_start.ENTRY,
    )
}
