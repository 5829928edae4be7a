"""Every benchmark there is, in the order in which they run."""

from benchmarks import (
    agent_heap,
    broker_round_trip,
    bytecode_size,
    cold_start,
    fleet,
    gatt_round_trip,
    heap_growth,
    journal,
    notify_throughput,
    pin_decision,
    scenarios,
    unlock_attempt,
    unlock_bluetooth,
    unlock_cost,
    unlock_relay,
    update_verify,
)

ENTRIES = {
    entry.name: entry
    for entry in (
        broker_round_trip.ENTRY,
        unlock_relay.ENTRY,
        unlock_attempt.ENTRY,
        unlock_bluetooth.ENTRY,
        unlock_cost.ENTRY,
        pin_decision.ENTRY,
        gatt_round_trip.ENTRY,
        notify_throughput.ENTRY,
        agent_heap.ENTRY,
        heap_growth.ENTRY,
        bytecode_size.ENTRY,
        journal.ENTRY,
        update_verify.ENTRY,
        scenarios.ENTRY,
        fleet.ENTRY,
        cold_start.ENTRY,
    )
}
