"""The bench's radio: one medium that joins simulated Bluetooth controllers of boards and phones."""
